#!/bin/sh
# named_tests.sh ROOT PAGE: every test that the last column of PAGE's tables
# names in `backquotes` is a function of some test, or is printed.
set -eu
cd "$1"
sources=$(find tests -name '*.c' ! -path 'tests/check/lint/*')
names=$(awk -F'|' '/^\|/ { print $(NF - 1) }' "$2" | grep -o '`[a-z_0-9]*`' |
        tr -d '`' | sort -u)
[ -n "$names" ] || { echo "named_tests.sh: $2 names no test" >&2; exit 1; }
bad=0
for name in $names; do
    # shellcheck disable=SC2086 # our file names have no blanks
    grep -qE "(^|[ (])$name\(" $sources || {
        echo "$2: there is no test $name"
        bad=1
    }
done
exit "$bad"
