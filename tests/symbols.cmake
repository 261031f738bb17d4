# Bits must not depend on the C library: no libm but sqrt in what computes.
execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libm.so.6
  OUTPUT_VARIABLE PF_LIBM OUTPUT_STRIP_TRAILING_WHITESPACE)
set(objects)
foreach(room pf_base pf_crypto pf_kernels pf_nn pf_data pf_codec pf_formats pf_round)
  if(TARGET ${room})
    get_property(parts TARGET ${room} PROPERTY PF_PARTS)
    foreach(part IN ITEMS ${room} ${parts})
      list(APPEND objects $<TARGET_OBJECTS:${part}>)
    endforeach()
  endif()
endforeach()
add_test(NAME lint_symbols COMMAND sh ${CMAKE_SOURCE_DIR}/tests/check/symbols.sh
  ${PF_LIBM} ${objects} COMMAND_EXPAND_LISTS)
set_tests_properties(lint_symbols PROPERTIES LABELS lint TIMEOUT 30
  SKIP_RETURN_CODE 77)
# The test of the elementary functions compares with libm, so it needs it.
if(TARGET unit_fmath)
  add_test(NAME lint_symbols_sees COMMAND sh
    ${CMAKE_SOURCE_DIR}/tests/check/symbols.sh ${PF_LIBM} $<TARGET_FILE:unit_fmath>)
  set_tests_properties(lint_symbols_sees PROPERTIES LABELS lint TIMEOUT 30
    SKIP_RETURN_CODE 77 PASS_REGULAR_EXPRESSION "needs expl of libm")
endif()
