#!/bin/sh
# abi.sh LIBRARY LIST: the library exports exactly the names of the list.
set -eu
seen=$(nm -D --defined-only "$1" | awk '{ sub(/@.*/, "", $NF); print $NF }' | LC_ALL=C sort)
want=$(LC_ALL=C sort "$2")
[ "$seen" = "$want" ] && exit 0
echo "$1 does not export what $2 says (< missing, > too many):"
printf '%s\n' "$want" >"${TMPDIR:-/tmp}/abi.$$"
printf '%s\n' "$seen" | diff "${TMPDIR:-/tmp}/abi.$$" - || :
rm -f "${TMPDIR:-/tmp}/abi.$$"
exit 1
