#!/bin/sh
# symbols.sh LIBM OBJECT...: prints each object that needs a function of libm
# other than sqrt and sqrtf, and fails when there is one: results must not
# depend on whose C library it is.
set -eu
libm=$1
shift
[ -r "$libm" ] || { echo "symbols.sh: no $libm to compare with"; exit 77; }
[ $# -gt 0 ] || { echo "symbols.sh: no objects" >&2; exit 1; }

{
    nm -D --defined-only "$libm" | awk '{ sub(/@.*/, "", $NF); print "M", $NF }'
    for object; do
        echo "O $object"
        nm -u "$object" | awk '{ sub(/@.*/, "", $NF); print "U", $NF }'
    done
} | awk '
$1 == "M" { libm[$2] = 1; n++ }
$1 == "O" { object = $2 }
$1 == "U" && $2 in libm && $2 != "sqrt" && $2 != "sqrtf" {
    printf "%s: needs %s of libm\n", object, $2
    bad++
}
END {
    if (n < 100) { print "symbols.sh: too few symbols in libm"; bad++ }
    exit bad > 0
}'
