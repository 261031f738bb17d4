# proto: what travels.
set(PF_PROTO_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_proto)
foreach(module calls problem plan sfield httpsig httpsig_parse statement joinlink
    merkle record)
  pf_test(unit_${module} LABEL unit SOURCES unit/test_${module}.c
    ROOMS ${PF_PROTO_ROOMS})
endforeach()
pf_test(unit_update LABEL unit SOURCES unit/test_update.c check/guard.c
  ROOMS ${PF_PROTO_ROOMS})
pf_test(unit_wire LABEL unit SOURCES unit/test_wire.c check/tables.c
  ROOMS ${PF_PROTO_ROOMS})
pf_test(unit_messages LABEL unit SOURCES unit/test_messages.c check/tables.c
  ROOMS ${PF_PROTO_ROOMS})

foreach(input update httpsig joinlink plan problem merkle record)
  pf_fuzz(fuzz_${input} SOURCES fuzz/fuzz_${input}.c ROOMS ${PF_PROTO_ROOMS}
    CORPUS ${input})
endforeach()
pf_fuzz(fuzz_messages SOURCES fuzz/fuzz_messages.c check/tables.c
  ROOMS ${PF_PROTO_ROOMS} CORPUS messages)
target_include_directories(fuzz_messages PRIVATE ${CMAKE_SOURCE_DIR}/tests/check)

pf_test(openapi_matches_calls LABEL unit
  SOURCES unit/test_openapi.c check/openapi.c check/tables.c
  ROOMS ${PF_PROTO_ROOMS})

pf_test(unit_proof LABEL unit SOURCES unit/test_proof.c check/fakelog.c
  ROOMS ${PF_PROTO_ROOMS})
