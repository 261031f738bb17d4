# Built, not run: tests/bench/ingest. It speaks TLS itself: the only user of
# libssl in the tree.
find_package(OpenSSL 3 REQUIRED COMPONENTS SSL)
set(PF_BENCH bench/ingest.c bench/load.c bench/fleet.c bench/rival.c bench/say.c
  bench/stages.c bench/speed.c bench/batches.c bench/crowd.c bench/downlink.c
  bench/pools.c)
add_executable(bench_ingest ${PF_BENCH} check/proc.c
  check/testdaemon.c check/tmpdir.c check/crafted.c check/rawhttp.c)
pf_use_rooms(bench_ingest pf_base pf_crypto pf_sodium pf_kernels pf_nn pf_data
  pf_codec pf_formats pf_proto pf_client pf_round pf_store pf_coordinator pf_http)
target_include_directories(bench_ingest PRIVATE ${CMAKE_SOURCE_DIR}/tests/check)
target_compile_definitions(bench_ingest PRIVATE
  PF_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
target_link_libraries(bench_ingest PRIVATE PkgConfig::CMOCKA OpenSSL::SSL)
set_target_properties(bench_ingest PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
