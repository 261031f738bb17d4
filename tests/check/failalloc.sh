#!/bin/sh
# failalloc.sh SHIM PROGRAM [ARG...]: runs the program with its first, second,
# third ... allocation failing until none is left to fail.  The program must
# end with 0 each time: it saw the failure and left everything in order.
set -eu
# LD_PRELOAD is a list that blanks separate: a path without any.
dir=$(mktemp -d /tmp/pocketfed-failalloc.XXXXXX)
trap 'rm -rf "$dir"' EXIT
shim=$dir/shim.so
cp "$1" "$shim"
shift
k=0
while :; do
    k=$((k + 1))
    status=0
    said=$(LD_PRELOAD=$shim PF_FAIL_ALLOC=$k "$@" 2>&1 >/dev/null) || status=$?
    if [ $status -ne 0 ]; then
        echo "with allocation $k failing: exit status $status"
        echo "$said"
        exit 1
    fi
    case $said in
    *"failalloc: never came"*) break ;;
    esac
    [ $k -lt 5000 ] || { echo "no end after $k allocations"; exit 1; }
done
if [ $k -lt 3 ]; then
    echo "only $((k - 1)) allocations: is the shim loaded?"
    exit 1
fi
echo "survived each of $((k - 1)) failing allocations"
