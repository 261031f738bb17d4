# The promise is made for phones: 200000 bytes on aarch64. A library for x86-64
# has the kernels of three instruction sets in place of two. clang unrolls the
# kernels further and comes to a tenth more.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_C_COMPILER_ID STREQUAL "GNU"
   AND NOT POCKETFED_SANITIZE AND NOT POCKETFED_FUZZ AND NOT POCKETFED_COVERAGE)
  set(most 200000)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    set(most 400000)
  endif()
  add_test(NAME library_size COMMAND sh ${CMAKE_SOURCE_DIR}/tests/check/libsize.sh
    $<TARGET_FILE:pocketfed> ${most} ${CMAKE_STRIP})
  set_tests_properties(library_size PROPERTIES LABELS "lint" TIMEOUT 30)
endif()
