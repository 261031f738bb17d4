# client: the participation, the handle, requests, storage, transports.
set(PF_CLIENT_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_codec pf_formats
  pf_proto pf_client)
foreach(module participation persistence cuts finished proving)
  pf_test(unit_${module} LABEL unit
    SOURCES unit/test_${module}.c check/world.c check/memberside.c
            check/fakeserver.c check/fakelog.c check/guard.c
    ROOMS ${PF_CLIENT_ROOMS})
endforeach()
pf_test(unit_request LABEL unit SOURCES unit/test_request.c
  ROOMS ${PF_CLIENT_ROOMS})
pf_test(unit_storage LABEL unit SOURCES unit/test_storage.c check/tmpdir.c
  ROOMS ${PF_CLIENT_ROOMS})
foreach(module join join_refused client client_cuts leave verify)
  pf_test(unit_${module} LABEL unit
    SOURCES unit/test_${module}.c check/appside.c check/fakeserver.c check/fakelog.c
            check/guard.c check/tmpdir.c
    ROOMS ${PF_CLIENT_ROOMS})
endforeach()
pf_test(unit_transport_curl LABEL unit SOURCES unit/test_transport_curl.c
  ROOMS ${PF_CLIENT_ROOMS} LIBS PkgConfig::MICROHTTPD)
pf_fuzz(fuzz_reply
  SOURCES fuzz/fuzz_reply.c check/memberside.c check/fakeserver.c check/fakelog.c check/guard.c
  ROOMS ${PF_CLIENT_ROOMS} CORPUS reply)
target_include_directories(fuzz_reply PRIVATE ${CMAKE_SOURCE_DIR}/tests/check)

# What apps see: the exported names, the headers, the installed packages. An
# instrumented library is not what is installed.
find_program(PF_CXX NAMES c++ g++ clang++ clang++-14)
if(PF_CXX)
  add_test(NAME public_headers COMMAND sh ${CMAKE_SOURCE_DIR}/tests/check/headers.sh
    ${PF_CXX} ${CMAKE_SOURCE_DIR}/client/include ${CMAKE_SOURCE_DIR}/common/base/include)
  set_tests_properties(public_headers PROPERTIES LABELS lint TIMEOUT 60)
endif()
if(NOT POCKETFED_SANITIZE AND NOT POCKETFED_FUZZ AND NOT POCKETFED_COVERAGE)
  add_test(NAME abi COMMAND sh ${CMAKE_SOURCE_DIR}/tests/check/abi.sh
    $<TARGET_FILE:pocketfed> ${CMAKE_SOURCE_DIR}/tests/golden/pocketfed.symbols)
  set_tests_properties(abi PROPERTIES LABELS lint TIMEOUT 30)
  add_test(NAME consumer COMMAND sh ${CMAKE_SOURCE_DIR}/tests/e2e/consumer/run.sh
    ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}/tests/e2e/consumer ${CMAKE_COMMAND}
    ${CMAKE_C_COMPILER})
  set_tests_properties(consumer PROPERTIES LABELS e2e TIMEOUT 120)
endif()
