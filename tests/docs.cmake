# The pages that the programs print must be the ones that are committed.
add_test(NAME docs_cli_is_what_the_program_prints COMMAND sh -c
  "\"$0\" help --markdown | diff -u \"$1\" -" $<TARGET_FILE:pocketfed-cli>
  ${CMAKE_SOURCE_DIR}/docs/CLI.md)
set_tests_properties(docs_cli_is_what_the_program_prints PROPERTIES
  LABELS lint TIMEOUT 30)
