pf_test(unit_model LABEL unit SOURCES unit/test_model.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn)
pf_test(unit_layers LABEL unit SOURCES unit/test_layers.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn)
pf_test(unit_train LABEL unit SOURCES unit/test_train.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn)
pf_test(unit_exec LABEL unit SOURCES unit/test_exec.c check/crew.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn)
target_link_options(unit_exec PRIVATE
  -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
pf_test(unit_infer LABEL unit SOURCES unit/test_infer.c check/crew.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn)
pf_test(unit_optimizer LABEL unit SOURCES unit/test_optimizer.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn)

# The same sources with real = double, for gradients and PyTorch's numbers.
get_target_property(nn_sources pf_nn SOURCES)
get_target_property(nn_dir pf_nn SOURCE_DIR)
get_target_property(kernels_dir pf_kernels SOURCE_DIR)
list(TRANSFORM nn_sources PREPEND ${nn_dir}/)
add_library(pf_nn_double OBJECT ${nn_sources} ${kernels_dir}/kernels.c
  ${kernels_dir}/reference.c ${kernels_dir}/reference_conv.c
  ${kernels_dir}/reference_dense.c ${kernels_dir}/reference_infer.c)
target_link_libraries(pf_nn_double PRIVATE pf_build)
target_compile_definitions(pf_nn_double PRIVATE PF_REAL_DOUBLE)
# Also in Debug: plain loops over the larger networks take their time.
target_compile_options(pf_nn_double PRIVATE -O2)
target_include_directories(pf_nn_double PUBLIC
  $<TARGET_PROPERTY:pf_nn,INTERFACE_INCLUDE_DIRECTORIES>)

pf_test(unit_gradients LABEL unit SOURCES unit/test_gradients.c
  ROOMS pf_base pf_crypto pf_nn_double)
target_compile_definitions(unit_gradients PRIVATE PF_REAL_DOUBLE)

# PyTorch's numbers, in float with every family and in double.
pf_test(unit_pytorch LABEL unit TIMEOUT 300 SOURCES unit/test_pytorch.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn)
pf_test(unit_pytorch_double LABEL unit TIMEOUT 300 SOURCES unit/test_pytorch.c
  ROOMS pf_base pf_crypto pf_nn_double)
target_compile_definitions(unit_pytorch_double PRIVATE PF_REAL_DOUBLE)

# Gradients for tests/interop/net_gradients.py.
add_executable(net_gradients interop/net_gradients.c)
pf_use_rooms(net_gradients pf_base pf_crypto pf_kernels pf_nn)
add_executable(net_gradients_double interop/net_gradients.c)
pf_use_rooms(net_gradients_double pf_base pf_crypto pf_nn_double)
target_compile_definitions(net_gradients_double PRIVATE PF_REAL_DOUBLE)
set_target_properties(net_gradients net_gradients_double PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

pf_fuzz(fuzz_spec SOURCES fuzz/fuzz_spec.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn CORPUS spec)
