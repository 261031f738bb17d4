# server: what happens when connections end, tables fill and files are odd.
pf_test(unit_handover LABEL unit SOURCES unit/test_handover.c check/edge.c
  check/tmpdir.c ROOMS ${PF_EDGE_ROOMS})
pf_test(unit_views LABEL unit SOURCES unit/test_views.c check/edge.c
  check/tmpdir.c ROOMS ${PF_EDGE_ROOMS})
pf_test(unit_freshness LABEL unit SOURCES unit/test_freshness.c check/edge.c
  check/tmpdir.c ROOMS ${PF_EDGE_ROOMS})
pf_test(unit_durable LABEL unit SOURCES unit/test_durable.c ${PF_CHECK}/core.c
  ${PF_STORE_BENCH} ROOMS ${PF_CORE_ROOMS})
