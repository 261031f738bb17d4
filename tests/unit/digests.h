/* Recorded with the kernels as they are: a change of any sum changes its rows.
 * unit_digests --print prints those of the machine it runs on. NEON has twice
 * the registers on aarch64 and takes wider pieces: other bits. */
{"avx512",
 {"2302cb5431f403b3713b65f9177f1f7139fbbacdf111e5f5be95ea25b0d6a9c9",
  "343fe149592a772070a1c54d82ee9b5f9a4c3b62d50af7044a8d35f4ad322b51"}},
{"avx2",
 {"c9ad9f91815fe9d14c3ff77132cff8f2f689527bc2796156820da1c8f9713de9",
  "b3291eafd5f3c9161592065703795505e12a2bf92dccd456f297630b3c6ac2d4"}},
{"portable",
 {"98539f705bb94c2818ec52a004eff6f7eabf9cecec7082fd47d7f7de638890ec",
  "9e41a28f19a473bf4b74aba4578443a64df9f4357612f6f7d7a7f7ae612a440c"}},
{"reference",
 {"acecb104b4c5b16fd9598e8b9cbe04e0254cec982b5c3198799217672a1bc9b1",
  "754b297b1c7efc45a782e3d50093d5c0d3217228215a7ee5e69f89f8d7335242"}},
#ifdef __aarch64__
{"neon",
 {"7abe7edd7657affc0e5d1eb08bcda222de5276aa1914cf780034238b0ecc7cc8",
  "53af1d1a32aea723fe0ee5ea5fd98a3094c1579920fa24a3fd6872f81d3f7522"}},
#else
{"neon",
 {"81a07df4fed52a863547e8983eb0b3fc6f44f969ae6f0559efe70f2d30203344",
  "4636650f4a52b1d6a6e05fac0d34982821e7380d0ca34267aa5b1eb132b5c9e4"}},
#endif
