pf_test(unit_kernels LABEL unit TIMEOUT 300 SOURCES unit/test_kernels.c
  unit/test_kernels_conv.c unit/test_kernels_dense.c
  unit/test_kernels_infer.c check/trial.c check/guard.c
  ROOMS pf_base pf_kernels)
pf_test(unit_half LABEL unit SOURCES unit/test_half.c
  ROOMS pf_base pf_kernels)
pf_test(unit_digests LABEL unit TIMEOUT 120 SOURCES unit/test_digests.c
  check/training.c ROOMS pf_base pf_crypto pf_kernels pf_nn)

# Built, not run: tests/bench/neon-instructions counts what it executes.
add_executable(train_steps qemu/train_steps.c check/training.c)
pf_use_rooms(train_steps pf_base pf_crypto pf_kernels pf_nn)
target_include_directories(train_steps PRIVATE check)
set_target_properties(train_steps PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
