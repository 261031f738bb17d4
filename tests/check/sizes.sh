#!/bin/sh
# sizes.sh ROOT [LINES [FUNCTION]]: prints each C file of more than LINES (550)
# lines and each function of more than FUNCTION (80), from its "{" in column 0
# to its "}", and fails when there is one.  What is that long wants to be two.
set -eu
max=${2:-550}
function_max=${3:-80}
cd "$1"
files=$(find common proto client server sim tests -name '*.[ch]' \
        ! -path 'tests/vectors/*' ! -path 'tests/check/lint/*' 2>/dev/null |
        sort)
[ -n "$files" ] || { echo "sizes.sh: no sources below $1" >&2; exit 1; }

# shellcheck disable=SC2086 # our file names have no blanks
awk -v max="$max" -v function_max="$function_max" '
function end_of_file() {
    if (lines > max) {
        printf "%s:%d: a file of %d lines; %d is the most\n", name, lines,
               lines, max
        bad++
    }
}
FNR == 1 {
    end_of_file()
    name = FILENAME
    start = 0
}
{ lines = FNR }
/^{[ \t]*$/ { start = FNR }
/^}/ {
    if (start && FNR - start + 1 > function_max) {
        printf "%s:%d: a function of %d lines; %d is the most\n", FILENAME,
               start, FNR - start + 1, function_max
        bad++
    }
    start = 0
}
END { end_of_file(); exit bad > 0 }
' $files
