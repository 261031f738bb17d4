# The real programs, over TLS on the loopback interface.
set(PF_E2E_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_data pf_codec pf_formats
  pf_proto pf_client)
set(PF_E2E_CHECK check/proc.c check/testdaemon.c check/testdevice.c
  check/tmpdir.c)

# pf_e2e(NAME SOURCES ...): TIMEOUT is far above what each takes, for machines
# that are busy.
function(pf_e2e name)
  pf_test(${name} LABEL e2e TIMEOUT 300 SOURCES ${ARGN} ${PF_E2E_CHECK}
    ROOMS ${PF_E2E_ROOMS})
  add_dependencies(${name} pocketfedd pocketfed-cli)
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77)
endfunction()

pf_e2e(e2e_federation e2e/federation.c)
foreach(part trust update)
  pf_e2e(e2e_refusals_${part} e2e/refusals_${part}.c e2e/smalltask.c
    check/rawhttp.c check/crafted.c)
endforeach()
pf_e2e(e2e_interruptions e2e/interruptions.c e2e/smalltask.c check/rawhttp.c
  check/crafted.c)
pf_e2e(e2e_devices e2e/devices.c e2e/words.c)
foreach(part hostile reload admin_tcp)
  pf_e2e(e2e_${part} e2e/${part}.c e2e/smalltask.c check/rawhttp.c
    check/crafted.c)
endforeach()
pf_e2e(e2e_proofs e2e/proofs.c)
target_link_libraries(e2e_proofs PRIVATE PkgConfig::SQLITE3) # to tamper with
pf_e2e(e2e_cli e2e/cli.c e2e/words.c)
pf_e2e(e2e_cli_use e2e/cli_use.c e2e/words.c)

# It works in build/release whoever calls it, so it is for that build alone.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT POCKETFED_SANITIZE AND
   CMAKE_BINARY_DIR STREQUAL "${CMAKE_SOURCE_DIR}/build/release")
  add_test(NAME e2e_demo COMMAND sh ${CMAKE_SOURCE_DIR}/tests/e2e/demo.sh
    ${CMAKE_SOURCE_DIR})
  set_tests_properties(e2e_demo PROPERTIES LABELS e2e TIMEOUT 300
    SKIP_RETURN_CODE 77)
endif()

add_test(NAME e2e_precision COMMAND sh ${CMAKE_SOURCE_DIR}/tests/e2e/precision.sh
  ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(e2e_precision PROPERTIES LABELS e2e TIMEOUT 600
  SKIP_RETURN_CODE 77)
pf_e2e(e2e_crowd e2e/crowd.c check/crowd.c)
add_test(NAME e2e_crowd_full COMMAND e2e_crowd --full)
set_tests_properties(e2e_crowd_full PROPERTIES LABELS load TIMEOUT 300
  RUN_SERIAL ON)

# Bad links. The full figures take minutes: label long.
pf_e2e(e2e_networks e2e/networks.c check/faultproxy.c)
set_tests_properties(e2e_networks PROPERTIES TIMEOUT 900)
add_test(NAME e2e_networks_long COMMAND e2e_networks long)
set_tests_properties(e2e_networks_long PROPERTIES LABELS long TIMEOUT 900
  ENVIRONMENT "CMOCKA_MESSAGE_OUTPUT=STDOUT")
