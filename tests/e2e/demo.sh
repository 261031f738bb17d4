#!/bin/sh
# demo.sh ROOT: deploy/demo, small, from another directory whose name has a
# blank: it reaches its target and leaves nothing running.  Exit 77: skipped.
set -eu
root=$1
if [ -z "${POCKETFED_TEST_DATA:-}" ]; then
    echo "POCKETFED_TEST_DATA is not set: tests/run sets it to a folder with MNIST." >&2
    [ "${CI:-}" != true ] || { echo "FAILED, because CI=true allows no skipping" >&2; exit 1; }
    echo "SKIPPED: nothing was tested here" >&2
    exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/pocketfed demo test.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
TMPDIR=$work # so that what it starts can be told from what others run
export TMPDIR

fail() {
    echo "FAILED: $1" >&2
    cat "$work/out" "$work/err" >&2
    exit 1
}

status=0
"$root/deploy/demo" --clients 3 --rounds 2 --target 0.5 --fixed 1 \
    --data "$POCKETFED_TEST_DATA" --out "$work/what came of it" \
    >"$work/out" 2>"$work/err" || status=$?
[ "$status" -eq 0 ] || fail "exit status $status"
grep -q 'test accuracy' "$work/out" || fail "no accuracy in the table"
grep -q 'after round 1' "$work/out" || fail "no figure for the fixed round"
[ -s "$work/what came of it/mnist-lenet5.safetensors" ] || fail "no model file"
if grep -q "$(printf '\r')" "$work/out" "$work/err"; then
    fail "progress was drawn where there is no terminal"
fi
for process in /proc/[0-9]*/cmdline; do
    case $(tr '\0' ' ' <"$process" 2>/dev/null) in
    *"$work/pocketfed-demo"*) fail "left running: ${process%/cmdline}" ;;
    esac
done
for left in "$work"/pocketfed-*; do
    [ ! -e "$left" ] || fail "left behind: $left"
done

# A target that cannot be reached is said, and is a failure.
status=0
"$root/deploy/demo" --clients 2 --rounds 1 --target 1 --fixed 1 --model logreg \
    --data "$POCKETFED_TEST_DATA" --out "$work/missed" \
    >"$work/out" 2>"$work/err" || status=$?
[ "$status" -eq 1 ] || fail "a missed target ended with $status"
grep -q 'target was missed' "$work/err" || fail "the miss was not said"

status=0
"$root/deploy/demo" --partition nonsense >"$work/out" 2>"$work/err" || status=$?
[ "$status" -eq 2 ] || fail "a wrong option ended with $status"
