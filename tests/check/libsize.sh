#!/bin/sh
# libsize.sh LIBRARY [MOST [STRIP]]: prints how many bytes the library has when it is
# stripped, as it is installed; fails when they are more than MOST.
set -eu
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
"${3:-strip}" -o "$tmp" "$1"
n=$(wc -c < "$tmp" | tr -d ' ')
echo "$n bytes"
[ "$n" -le "${2:-$n}" ] || { echo "more than $2" >&2; exit 1; }
