set(PF_FORMATS_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_formats)
pf_test(unit_safetensors LABEL unit
  SOURCES unit/test_safetensors.c check/guard.c ROOMS ${PF_FORMATS_ROOMS})
pf_fuzz(fuzz_safetensors SOURCES fuzz/fuzz_safetensors.c
  ROOMS ${PF_FORMATS_ROOMS} CORPUS safetensors)
