# What the program says without a daemon.
pf_test(unit_cli LABEL unit SOURCES unit/test_cli.c check/proc.c check/tmpdir.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn pf_proto)
add_dependencies(unit_cli pocketfed-cli)
pf_test(unit_bench LABEL unit TIMEOUT 120 SOURCES unit/test_bench.c check/proc.c
  check/tmpdir.c ${CMAKE_SOURCE_DIR}/client/cli/drawn.c
  ROOMS pf_base pf_crypto pf_data)
target_include_directories(unit_bench PRIVATE ${CMAKE_SOURCE_DIR}/client/cli)
add_dependencies(unit_bench pocketfed-cli)
