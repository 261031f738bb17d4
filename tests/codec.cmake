pf_test(unit_codec LABEL unit SOURCES unit/test_codec.c check/guard.c
  ROOMS pf_base pf_codec)
pf_fuzz(fuzz_codec SOURCES fuzz/fuzz_codec.c ROOMS pf_base pf_codec CORPUS codec)
