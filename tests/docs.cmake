# The pages that the programs print must be the ones that are committed.
add_test(NAME docs_cli_is_what_the_program_prints COMMAND sh -c
  "\"$0\" help --markdown | diff -u \"$1\" -" $<TARGET_FILE:pocketfed-cli>
  ${CMAKE_SOURCE_DIR}/docs/CLI.md)
set_tests_properties(docs_cli_is_what_the_program_prints PROPERTIES
  LABELS lint TIMEOUT 30)
# What the threat model says is shown by a test is shown by one.
add_test(NAME lint_named_tests COMMAND sh ${CMAKE_SOURCE_DIR}/tests/check/named_tests.sh
  ${CMAKE_SOURCE_DIR} docs/THREAT_MODEL.md)
set_tests_properties(lint_named_tests PROPERTIES LABELS lint TIMEOUT 30)
# What the daemon complains of is explained.
add_test(NAME lint_log_lines COMMAND sh ${CMAKE_SOURCE_DIR}/tests/check/log_lines.sh
  ${CMAKE_SOURCE_DIR})
set_tests_properties(lint_log_lines PROPERTIES LABELS lint TIMEOUT 30)
