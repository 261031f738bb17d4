/* Recorded with the kernels as they are: a change of any sum changes its rows.
 * unit_digests --print prints those of the machine it runs on. NEON has twice
 * the registers on aarch64 and takes wider pieces: other bits. */
{"avx512",
 {"4a2856b6efe97ed8b22f01e87d98f6be42dfcfe68dc0d7021bfb7d59a26e38f0",
  "3a68883484078098912f362c5b39279217ad87e019ee0226250fcdd614fe08ed"}},
{"avx2",
 {"b058b8abb4649ba68f9aa0762497b0cf3ff0bed3515126edfdf84ee877c2a662",
  "aa1d3eda8de745772a2df4999bbf90f88e2a4cbe15750b109006e0d94c3f6071"}},
{"portable",
 {"3dc60f5ad6079d3810864989625c7f7b5fadcaa0d689baad35a70f4af90ddf93",
  "bfce0f7b0b7f27773d419edce4e685d13e2b02c7f53c0e93efe7f1a07e80eac7"}},
{"reference",
 {"acecb104b4c5b16fd9598e8b9cbe04e0254cec982b5c3198799217672a1bc9b1",
  "754b297b1c7efc45a782e3d50093d5c0d3217228215a7ee5e69f89f8d7335242"}},
#ifdef __aarch64__
{"neon",
 {"efc28fdb8e636dd42808df76f98bfaae7adec2ac9e1c1c95e1537918b54ed53a",
  "127dda81090d1e15d90fb763785b8d335b89dd8d1599d6770e50f3ac70be2953"}},
#else
{"neon",
 {"edebd290932131e00ccdfa455c039ee96725d4c2f0c422bf74f25b9e73f1b43f",
  "ec8b72163f7ba56d104738a513ab7662c42f5c7dc6370620a63f1006be137824"}},
#endif
