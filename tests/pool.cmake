# One file of the cli room, without its main().
pf_test(unit_pool LABEL unit
  SOURCES unit/test_pool.c ${CMAKE_SOURCE_DIR}/client/cli/pool.c
  ROOMS pf_base pf_kernels pf_nn pf_crypto LIBS Threads::Threads)
target_include_directories(unit_pool PRIVATE ${CMAKE_SOURCE_DIR}/client/cli)
