# The round engine and what it decides with.
set(ROUND_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_codec pf_formats pf_proto
  pf_round)
set(ENGINE ${CMAKE_SOURCE_DIR}/tests/check/engine.c)
set(FRAME ${CMAKE_SOURCE_DIR}/tests/check/frame.c)
set(ENGINE_CHECK ${CMAKE_SOURCE_DIR}/tests/check/engine_check.c
  ${CMAKE_SOURCE_DIR}/tests/check/dull.c ${CMAKE_SOURCE_DIR}/tests/check/dull_tell.c)

pf_test(unit_round LABEL unit SOURCES unit/test_round.c ${ENGINE}
  ROOMS ${ROUND_ROOMS})
pf_test(unit_round_ends LABEL unit SOURCES unit/test_round_ends.c ${ENGINE}
  ROOMS ${ROUND_ROOMS})
pf_test(unit_task_ends LABEL unit SOURCES unit/test_task_ends.c ${ENGINE}
  ROOMS ${ROUND_ROOMS})
pf_test(unit_leases LABEL unit SOURCES unit/test_leases.c ${ENGINE}
  ROOMS ${ROUND_ROOMS})
foreach(story async async_ends)
  pf_test(unit_${story} LABEL unit SOURCES unit/test_${story}.c ${ENGINE}
    ${CMAKE_SOURCE_DIR}/tests/check/buffers.c ROOMS ${ROUND_ROOMS})
endforeach()
pf_test(unit_fedbuff LABEL unit SOURCES unit/test_fedbuff.c ${ENGINE} ${FRAME}
  ROOMS ${ROUND_ROOMS})
pf_test(unit_pace LABEL unit SOURCES unit/test_pace.c ROOMS ${ROUND_ROOMS})
pf_test(unit_caps LABEL unit SOURCES unit/test_caps.c ${ENGINE}
  ROOMS ${ROUND_ROOMS})
pf_test(property_round LABEL property SOURCES property/round.c ${ENGINE}
  ${ENGINE_CHECK} ROOMS ${ROUND_ROOMS})
pf_test(property_sum LABEL property SOURCES property/sum.c check/exact.c
  check/awkward.c ${FRAME} ROOMS ${ROUND_ROOMS})
pf_test(property_sum_limits LABEL property SOURCES property/sum_limits.c
  check/exact.c check/awkward.c ${ENGINE} ${FRAME} ROOMS ${ROUND_ROOMS})
pf_test(property_pace LABEL property SOURCES property/pace.c ${ENGINE}
  ROOMS ${ROUND_ROOMS})
# 10^6 events of another seed than the ordinary run's: tests/run --long
add_test(NAME property_round_long COMMAND property_round 1000000 20260101)
set_tests_properties(property_round_long PROPERTIES TIMEOUT 1800 LABELS long)
pf_test(unit_sum LABEL unit SOURCES unit/test_sum.c ${FRAME}
  ROOMS ${ROUND_ROOMS})
pf_test(unit_coords LABEL unit SOURCES unit/test_coords.c check/awkward.c
        check/exact.c ROOMS ${ROUND_ROOMS})
pf_test(unit_admit LABEL unit SOURCES unit/test_admit.c ${FRAME}
  ${CMAKE_SOURCE_DIR}/tests/check/guard.c ROOMS ${ROUND_ROOMS})
pf_test(unit_publish LABEL unit SOURCES unit/test_publish.c
  ROOMS ${ROUND_ROOMS})
pf_test(unit_task LABEL unit SOURCES unit/test_task.c ROOMS ${ROUND_ROOMS})
pf_fuzz(fuzz_round SOURCES fuzz/fuzz_round.c ${ENGINE} ${ENGINE_CHECK}
  ROOMS ${ROUND_ROOMS} CORPUS round)
pf_fuzz(fuzz_task SOURCES fuzz/fuzz_task.c ROOMS ${ROUND_ROOMS} CORPUS task)
pf_fuzz(fuzz_admit SOURCES fuzz/fuzz_admit.c ${FRAME} ROOMS ${ROUND_ROOMS}
  CORPUS admit)
foreach(fuzz fuzz_round fuzz_admit)
  target_include_directories(${fuzz} PRIVATE ${CMAKE_SOURCE_DIR}/tests/check)
endforeach()
