# Each allocation fails in turn.  The sanitizers bring an allocator of their
# own, and other C libraries other names.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT POCKETFED_SANITIZE AND
   NOT POCKETFED_FUZZ AND NOT POCKETFED_COVERAGE AND NOT CMAKE_CROSSCOMPILING)
  add_library(failalloc MODULE check/failalloc.c)
  # The compiler must not take malloc for the one it knows.
  target_compile_options(failalloc PRIVATE -fno-builtin)
  target_link_libraries(failalloc PRIVATE pf_build)
  add_executable(alloc_json fault/alloc_json.c check/json_sample.c)
  pf_use_rooms(alloc_json pf_base)
  target_include_directories(alloc_json PRIVATE ${CMAKE_SOURCE_DIR}/tests/check)
  set_target_properties(alloc_json PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME fault_alloc_json COMMAND sh
    ${CMAKE_SOURCE_DIR}/tests/check/failalloc.sh
    $<TARGET_FILE:failalloc> $<TARGET_FILE:alloc_json>)
  set_tests_properties(fault_alloc_json PROPERTIES LABELS fault TIMEOUT 60)
endif()
