set(PF_CORE_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_data pf_codec
  pf_formats pf_proto pf_round pf_store pf_coordinator)
set(PF_CHECK ${CMAKE_CURRENT_SOURCE_DIR}/check)

set(PF_STORE_BENCH ${PF_CHECK}/store_bench.c ${PF_CHECK}/tmpdir.c)

foreach(module store store_open store_proof enrol devices)
  pf_test(unit_${module} LABEL unit SOURCES unit/test_${module}.c
    ${PF_STORE_BENCH} ROOMS ${PF_CORE_ROOMS})
endforeach()
pf_test(unit_audit LABEL unit SOURCES unit/test_audit.c ${PF_CHECK}/core.c
  ${PF_CHECK}/tmpdir.c ROOMS ${PF_CORE_ROOMS} LIBS PkgConfig::SQLITE3)
pf_test(unit_segment LABEL unit SOURCES unit/test_segment.c ${PF_CHECK}/tmpdir.c
  ROOMS ${PF_CORE_ROOMS})
pf_test(unit_objects LABEL unit SOURCES unit/test_objects.c ${PF_CHECK}/tmpdir.c
  ROOMS ${PF_CORE_ROOMS})
pf_test(unit_queue LABEL unit SOURCES unit/test_queue.c ROOMS ${PF_CORE_ROOMS})
foreach(module coordinator coordinator_stops coordinator_devices seal)
  pf_test(unit_${module} LABEL unit SOURCES unit/test_${module}.c
    ${PF_CHECK}/core.c ${PF_CHECK}/tmpdir.c ROOMS ${PF_CORE_ROOMS})
endforeach()
pf_test(fault_kill LABEL fault TIMEOUT 120 SOURCES fault/test_kill.c
  ${PF_CHECK}/core.c ${PF_CHECK}/tmpdir.c ROOMS ${PF_CORE_ROOMS})
