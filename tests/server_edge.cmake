# server: the edge.
set(PF_EDGE_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_data pf_codec pf_formats
  pf_proto pf_round pf_store pf_coordinator pf_http pf_daemon)
foreach(module nonce auth rates links)
  pf_test(unit_${module} LABEL unit SOURCES unit/test_${module}.c
    ROOMS ${PF_EDGE_ROOMS})
endforeach()
foreach(module config statedir rotate)
  pf_test(unit_${module} LABEL unit SOURCES unit/test_${module}.c check/tmpdir.c
    ROOMS ${PF_EDGE_ROOMS})
endforeach()
pf_fuzz(fuzz_config CORPUS config SOURCES fuzz/fuzz_config.c
  ROOMS ${PF_EDGE_ROOMS})
pf_fuzz(fuzz_head CORPUS head SOURCES fuzz/fuzz_head.c ROOMS ${PF_EDGE_ROOMS})
foreach(module routes routes_objects routes_admin routes_proof routes_device uploads limiter
    gate http tls come_again)
  pf_test(unit_${module} LABEL unit SOURCES unit/test_${module}.c check/edge.c
    check/tmpdir.c ROOMS ${PF_EDGE_ROOMS})
endforeach()
foreach(module resume partial)
  pf_test(unit_${module} LABEL unit SOURCES unit/test_${module}.c check/sender.c
    check/edge.c check/tmpdir.c ROOMS ${PF_EDGE_ROOMS})
endforeach()
# The documented options are the printed ones.
add_test(NAME printed_config COMMAND sh ${CMAKE_SOURCE_DIR}/tests/check/printed_config.sh
  $<TARGET_FILE:pocketfedd> ${CMAKE_SOURCE_DIR})
set_tests_properties(printed_config PROPERTIES LABELS unit TIMEOUT 30)
