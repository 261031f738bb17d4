# Includes go one way.  The second test shows that the first one can see.
set(PF_CHECK ${CMAKE_SOURCE_DIR}/tests/check)
add_test(NAME lint_includes COMMAND sh ${PF_CHECK}/includes.sh ${CMAKE_SOURCE_DIR})
add_test(NAME lint_includes_sees COMMAND sh ${PF_CHECK}/includes.sh ${PF_CHECK}/lint)
set_tests_properties(lint_includes lint_includes_sees PROPERTIES LABELS lint TIMEOUT 30)
set_tests_properties(lint_includes_sees PROPERTIES PASS_REGULAR_EXPRESSION
  "wrong.c:2: .*wrong.c:3: .*wrong.c:4: .*wrong.c:5: ")
