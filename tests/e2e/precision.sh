#!/bin/sh
# precision.sh BIN: a model of one epoch on MNIST says the same with weights of
# 16 and of 8 bits, within 0.5 point of its accuracy on the 10,000 test images.
# Exit 77: skipped.
set -eu
bin=$1
if [ -z "${POCKETFED_TEST_DATA:-}" ]; then
    echo "POCKETFED_TEST_DATA is not set: tests/run sets it to a folder with MNIST." >&2
    [ "${CI:-}" != true ] || { echo "FAILED, because CI=true allows no skipping" >&2; exit 1; }
    echo "SKIPPED: nothing was tested here" >&2
    exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/pocketfed-precision.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$bin/pocketfed" train-local --model lenet5 --optimizer adam --batch 50 --epochs 1 \
    --data "$POCKETFED_TEST_DATA" --out "$work/m.safetensors" >"$work/out" 2>&1 || {
    cat "$work/out" >&2
    exit 1
}

# right PRECISION: how many of the test images are told right
right() {
    "$bin/pocketfed" model eval "$work/m.safetensors" --data "$POCKETFED_TEST_DATA" \
        --precision "$1" | sed -n 's/.*(\([0-9]*\) of 10000).*/\1/p'
}

exact=$(right f32)
[ "${exact:-0}" -ge 9500 ] || { echo "FAILED: f32 is right on ${exact:-none} images" >&2; exit 1; }
for precision in f16 int8; do
    now=$(right $precision)
    off=$((${now:-0} > exact ? now - exact : exact - ${now:-0}))
    [ "$off" -le 50 ] || {
        echo "FAILED: $precision is right on ${now:-no} images, f32 on $exact" >&2
        exit 1
    }
done

# The guess of one image, and a precision that there is not.
"$bin/pocketfed" predict "$POCKETFED_TEST_DATA/t10k-images-idx3-ubyte" --index 0 \
    --model "$work/m.safetensors" --precision int8 >"$work/out"
grep -q '^7 ' "$work/out" || { echo "FAILED: the first image is a 7" >&2; exit 1; }
status=0
"$bin/pocketfed" predict "$POCKETFED_TEST_DATA/t10k-images-idx3-ubyte" \
    --model "$work/m.safetensors" --precision f8 >"$work/out" 2>&1 || status=$?
[ "$status" -eq 2 ] || { echo "FAILED: --precision f8 ended with $status" >&2; exit 1; }
