# The round engine and what it decides with.
set(ROUND_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_codec pf_formats pf_proto
  pf_round)
set(ENGINE ${CMAKE_SOURCE_DIR}/tests/check/engine.c)

pf_test(unit_round LABEL unit SOURCES unit/test_round.c ${ENGINE}
  ROOMS ${ROUND_ROOMS})
pf_test(unit_round_ends LABEL unit SOURCES unit/test_round_ends.c ${ENGINE}
  ROOMS ${ROUND_ROOMS})
pf_test(unit_task_ends LABEL unit SOURCES unit/test_task_ends.c ${ENGINE}
  ROOMS ${ROUND_ROOMS})
