#!/bin/sh
# headers.sh CXX DIR...: each public header compiles by itself as strict C++,
# and includes nothing but the C library and its neighbours.
set -eu
cxx=$1
shift
bad=0
# A colon-separated list of the compilers' own, so that blanks do no harm.
CPLUS_INCLUDE_PATH=$(IFS=:; echo "$*")
export CPLUS_INCLUDE_PATH
for dir; do
    for header in "$dir"/pocketfed/*.h; do
        name=pocketfed/$(basename "$header")
        printf '#include <%s>\n#include <%s>\nint main() { return 0; }\n' "$name" "$name" |
            "$cxx" -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ - ||
            bad=1
        if grep -n '#include' "$header" | grep -v '<std[a-z]*\.h>\|<pocketfed/'; then
            echo "$header: includes more than the C library"
            bad=1
        fi
    done
done
exit $bad
