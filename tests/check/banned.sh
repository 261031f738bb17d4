#!/bin/sh
# banned.sh ROOT: prints file:line of each call that has no place in a room and
# fails when there is one.  Comments and strings do not count.
set -eu
cd "$1"
files=$(find common proto client server sim tests -name '*.[ch]' \
        ! -path 'tests/check/lint/*' 2>/dev/null | sort)
[ -n "$files" ] || { echo "banned.sh: no sources below $1" >&2; exit 1; }

# shellcheck disable=SC2086 # our file names have no blanks
awk '
BEGIN {
    word = "(^|[^A-Za-z0-9_>.])("
    everywhere = word "sprintf|vsprintf|strcpy|strcat|strncpy|strtok|atoi|" \
                 "gets|rand|localtime|alloca)[ \t]*\\("
    library = word "exit|_exit|abort|printf|vprintf|puts|putchar|perror|" \
              "signal)[ \t]*\\(|(^|[^A-Za-z0-9_])(stdout|stderr)[^A-Za-z0-9_]"
}
FNR == 1 {
    comment = 0
    in_library = FILENAME ~ /^(common|proto|server\/round)\// ||
                 FILENAME ~ /^client\/[^\/]*$/
}
{
    line = $0
    if (comment) {
        if (line !~ /\*\//) next
        sub(/^.*\*\//, "", line)
        comment = 0
    }
    gsub(/\\./, "", line)            # escapes, so that quotes pair up
    gsub(/"[^"]*"/, "\"\"", line)
    sub(/\/\/.*/, "", line)
    while (match(line, /\/\*/)) {
        rest = substr(line, RSTART + 2)
        line = substr(line, 1, RSTART - 1)
        if (match(rest, /\*\//)) {
            line = line " " substr(rest, RSTART + 2)
        } else {
            comment = 1
            break
        }
    }
    if (line ~ everywhere) {
        printf "%s:%d: banned function: %s\n", FILENAME, FNR, $0
        bad++
    } else if (in_library && line ~ library) {
        printf "%s:%d: not in a library room: %s\n", FILENAME, FNR, $0
        bad++
    }
}
END { exit bad > 0 }
' $files
