#!/bin/sh
# log_lines.sh ROOT: prints each line of level warn or error of the daemon whose
# first words docs/OPERATIONS.md does not explain, and fails when there is one.
set -eu
cd "$1"
found=$(for file in server/*.c server/*/*.c; do
    tr '\n' ' ' <"$file" |
        grep -oE '(PF_LOG_ERROR|PF_LOG_WARN|level), *"[^"%=\\]+' |
        sed 's/^[^"]*"//; s/ [a-z_]*$//; s/ *$//'
done | sort -u)
[ -n "$found" ] || { echo "log_lines.sh: no log lines below $1" >&2; exit 1; }
echo "$found" | (
    missing=0
    while read -r words; do
        grep -qF "\`$words" docs/OPERATIONS.md && continue
        [ "$words" = round ] && continue # a decision, told at info
        echo "docs/OPERATIONS.md does not explain \"$words\""
        missing=1
    done
    exit "$missing"
)
