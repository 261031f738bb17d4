#!/bin/sh
# run.sh BUILD SOURCE CMAKE CC: installs the library into a folder of its own
# (with a blank in its name), then builds and runs a program that finds it by
# pkg-config, shared and static, and by find_package.
set -eu
build=$1 source=$2 cmake=$3 cc=$4
work=$(mktemp -d "${TMPDIR:-/tmp}/pocketfed-consumer-XXXXXX")
trap 'rm -rf "$work"' EXIT
first=$work/first
prefix=$work/prefix

for part in libpocketfed libpocketfed-dev; do
    "$cmake" --install "$build" --prefix "$first" --component "$part" >"$work/log" ||
        { cat "$work/log"; exit 1; }
done
mv "$first" "$prefix" # nothing may remember where it was installed to
pc=$(find "$prefix" -name pocketfed.pc)
[ -n "$pc" ] || { echo "no pocketfed.pc was installed"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir pocketfed)

# shellcheck disable=SC2046 # lists of flags
"$cc" "$source/main.c" -o "$work/by-pkg-config" $(pkg-config --cflags --libs pocketfed)
LD_LIBRARY_PATH=$libdir "$work/by-pkg-config" "$work/one"
readelf -d "$work/by-pkg-config" | grep -q 'NEEDED.*libpocketfed.so.0'
# shellcheck disable=SC2046
"$cc" "$source/main.c" -o "$work/by-archive" $(pkg-config --cflags pocketfed) \
    "$libdir/libpocketfed.a" $(pkg-config --libs libcurl libcrypto libcjson) -lm
"$work/by-archive" "$work/two"

"$cmake" -S "$source" -B "$work/by cmake" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 &&
    "$cmake" --build "$work/by cmake" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/by cmake/consumer" "$work/three"
"$work/by cmake/consumer-static" "$work/four"
