# Held against software we did not write. tests/run --interop runs the label.
# POCKETFED_TEST_DATA, the MNIST folder, comes from there as well.
add_test(NAME interop_torch_eval COMMAND
  ${CMAKE_SOURCE_DIR}/tests/interop/torch_eval ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(interop_torch_eval PROPERTIES LABELS interop TIMEOUT 900
  SKIP_RETURN_CODE 77)

# Outputs, losses and gradients of random nets and of the zoo; nn.cmake builds
# the two programs.
foreach(nets random zoo)
  add_test(NAME interop_${nets}_gradients COMMAND
    ${CMAKE_SOURCE_DIR}/tests/interop/net_gradients ${nets}
    ${CMAKE_BINARY_DIR}/tests)
  set_tests_properties(interop_${nets}_gradients PROPERTIES LABELS interop
    TIMEOUT 600 SKIP_RETURN_CODE 77)
endforeach()

# HTTP by other people's software: http-message-signatures and schemathesis.
add_executable(interop_app interop/app.c)
pf_use_rooms(interop_app ${PF_E2E_ROOMS})
set_target_properties(interop_app PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME interop_signatures COMMAND
  ${CMAKE_SOURCE_DIR}/tests/interop/http_interop signatures.py
  ${CMAKE_BINARY_DIR}/bin ${CMAKE_BINARY_DIR}/tests/interop_app)
set_tests_properties(interop_signatures PROPERTIES LABELS interop TIMEOUT 300
  SKIP_RETURN_CODE 77)
add_test(NAME interop_openapi COMMAND
  ${CMAKE_SOURCE_DIR}/tests/interop/http_interop openapi.py
  ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(interop_openapi PROPERTIES LABELS interop TIMEOUT 600
  SKIP_RETURN_CODE 77)
