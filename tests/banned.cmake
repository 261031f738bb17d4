# No banned functions, no file or function that is too long.
set(PF_CHECK ${CMAKE_SOURCE_DIR}/tests/check)
add_test(NAME lint_banned COMMAND sh ${PF_CHECK}/banned.sh ${CMAKE_SOURCE_DIR})
add_test(NAME lint_banned_sees COMMAND sh ${PF_CHECK}/banned.sh ${PF_CHECK}/lint)
add_test(NAME lint_sizes COMMAND sh ${PF_CHECK}/sizes.sh ${CMAKE_SOURCE_DIR})
add_test(NAME lint_sizes_sees COMMAND sh ${PF_CHECK}/sizes.sh ${PF_CHECK}/lint 10 4)
set_tests_properties(lint_banned lint_banned_sees lint_sizes lint_sizes_sees
  PROPERTIES LABELS lint TIMEOUT 30)
set_tests_properties(lint_banned_sees PROPERTIES
  PASS_REGULAR_EXPRESSION "wrong.c:10: .*wrong.c:11: "
  FAIL_REGULAR_EXPRESSION "wrong.c:[789]: ;wrong.c:1[23]: ")
set_tests_properties(lint_sizes_sees PROPERTIES
  PASS_REGULAR_EXPRESSION "wrong.c:9: a function.*wrong.c:14: a file")
