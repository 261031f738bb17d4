# Held against software we did not write. tests/run --interop runs the label.
# POCKETFED_TEST_DATA, the MNIST folder, comes from there as well.
add_test(NAME interop_torch_eval COMMAND
  ${CMAKE_SOURCE_DIR}/tests/interop/torch_eval ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(interop_torch_eval PROPERTIES LABELS interop TIMEOUT 900
  SKIP_RETURN_CODE 77)
