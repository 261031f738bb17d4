pf_test(unit_kernels LABEL unit TIMEOUT 300 SOURCES unit/test_kernels.c
  unit/test_kernels_conv.c unit/test_kernels_dense.c check/trial.c check/guard.c
  ROOMS pf_base pf_kernels)
