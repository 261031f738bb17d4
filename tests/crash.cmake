# The crash harness: a daemon in which every crash point of both tables is
# wrapped, a shim below it, and programs that kill it and look what is left.
set(CRASH ${CMAKE_SOURCE_DIR}/tests/crash)
set(CRASH_TABLES ${CMAKE_SOURCE_DIR}/server/store/points.h
  ${CMAKE_SOURCE_DIR}/server/coordinator/points.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CRASH_TABLES})

# Not pf_build: no sanitizer may stand between it and the kernel.
add_library(pf_crash_shim SHARED ${CRASH}/shim.c ${CRASH}/shim_log.c
  ${CRASH}/shim_clock.c)
target_compile_definitions(pf_crash_shim PRIVATE _GNU_SOURCE)
target_compile_options(pf_crash_shim PRIVATE -O2 -Wall -Wextra)
set_target_properties(pf_crash_shim PROPERTIES C_VISIBILITY_PRESET default
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(pf_crash_shim PRIVATE Threads::Threads)

add_executable(pocketfedd-crash ${CMAKE_SOURCE_DIR}/server/main.c
  ${CRASH}/points.c)
target_include_directories(pocketfedd-crash PRIVATE ${CMAKE_SOURCE_DIR}/server)
target_link_libraries(pocketfedd-crash PRIVATE pf_crash_shim)
pf_use_rooms(pocketfedd-crash pf_base pf_crypto pf_sodium pf_kernels pf_nn
  pf_data pf_codec pf_formats pf_proto pf_round pf_store pf_coordinator pf_http
  pf_daemon)
set_target_properties(pocketfedd-crash PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
foreach(table IN LISTS CRASH_TABLES)
  file(READ ${table} text)
  string(REGEX MATCHALL "(STATUS|VOID)\\(pf_[a-z0-9_]+" rows "${text}")
  foreach(row IN LISTS rows)
    string(REGEX REPLACE "^[A-Z]+\\(" "" name ${row})
    target_link_options(pocketfedd-crash PRIVATE -Wl,--wrap=${name})
  endforeach()
endforeach()

set(CRASH_CHECK ${CRASH}/book.c ${CRASH}/fleet.c ${CRASH}/member.c
  ${CRASH}/operator.c ${CRASH}/table.c ${CRASH}/verify.c
  ${CRASH}/verify_rounds.c ${CRASH}/victim.c
  ${CMAKE_SOURCE_DIR}/tests/check/proc.c
  ${CMAKE_SOURCE_DIR}/tests/check/testdaemon.c
  ${CMAKE_SOURCE_DIR}/tests/check/tmpdir.c)
set(CRASH_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_data pf_codec pf_formats
  pf_proto pf_round pf_store pf_client)

# pf_crash(NAME LABEL label TIMEOUT s SOURCES ... ARGS ...)
function(pf_crash name)
  pf_test(${name} ${ARGN} ROOMS ${CRASH_ROOMS})
  target_sources(${name} PRIVATE ${CRASH_CHECK})
  target_include_directories(${name} PRIVATE ${CRASH} ${CMAKE_SOURCE_DIR}/server
    ${CMAKE_SOURCE_DIR}/server/coordinator)
  target_compile_definitions(${name} PRIVATE
    PF_CRASH_DAEMON="$<TARGET_FILE:pocketfedd-crash>")
  add_dependencies(${name} pocketfedd-crash)
endfunction()

# A sanitizer makes everything slower by far, so there are fewer of them.
if(POCKETFED_SANITIZE)
  set(CRASH_KILLS 20)
  set(CRASH_CUTS 8)
else()
  set(CRASH_KILLS 60)
  set(CRASH_CUTS 30)
endif()
pf_crash(crash_kills LABEL fault TIMEOUT 300 SOURCES ${CRASH}/kills.c
  ARGS ${CRASH_KILLS} 1)
pf_crash(crash_power LABEL fault TIMEOUT 300 SOURCES ${CRASH}/power.c
  ${CRASH}/shadow.c ${CRASH}/shadow_file.c ARGS ${CRASH_CUTS} 1)
pf_crash(crash_faults LABEL fault TIMEOUT 300 SOURCES ${CRASH}/faults.c
  ${CRASH}/bed.c LIBS PkgConfig::SQLITE3)
pf_crash(crash_damage LABEL fault TIMEOUT 300 SOURCES ${CRASH}/damage.c
  ${CRASH}/bed.c)
pf_crash(crash_golden LABEL fault TIMEOUT 300 SOURCES ${CRASH}/golden.c
  ${CRASH}/shadow.c ${CRASH}/shadow_file.c)
# The daemon's threads under load: tsan runs these, too.
set_property(TEST crash_kills crash_power APPEND PROPERTY LABELS threads)

# tests/run --long; other numbers and seeds: crash_kills KILLS SEED.
add_test(NAME crash_long COMMAND crash_kills 5000 1)
add_test(NAME crash_power_long COMMAND crash_power 1000 1)
add_test(NAME crash_golden_long COMMAND crash_golden every)
set_tests_properties(crash_long crash_power_long crash_golden_long PROPERTIES
  LABELS long TIMEOUT 7200)
