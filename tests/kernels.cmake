pf_test(unit_kernels LABEL unit SOURCES unit/test_kernels.c check/guard.c
  ROOMS pf_base pf_kernels)
