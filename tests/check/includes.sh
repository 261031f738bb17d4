#!/bin/sh
# includes.sh ROOT: each #include goes in the direction of docs/ARCHITECTURE.md
# or is printed as file:line.  Quoted includes carry no path, outside libraries
# are included by the rooms that own them.
set -eu
cd "$1"
files=$(find common proto client server sim -name '*.[ch]' 2>/dev/null | sort)
[ -n "$files" ] || { echo "includes.sh: no sources below $1" >&2; exit 1; }

# shellcheck disable=SC2086 # our file names have no blanks
awk -v list="$files" '
function room(path) {
    if (path ~ /^common\//) { split(path, p, "/"); return p[1] "/" p[2] }
    if (path ~ /^client\/cli\//) return "client/cli"
    if (path ~ /^server\/(round|store|coordinator|http)\//) {
        split(path, p, "/")
        return p[1] "/" p[2]
    }
    sub(/\/.*/, "", path)
    return path
}
function dir(path) { sub(/\/[^\/]*$/, "", path); return path }
function allow(from, to,    n, i, r) {
    n = split(to, r, " ")
    for (i = 1; i <= n; i++) may[from, r[i]] = 1
    may[from, from] = 1
}
function wrong(why) {
    printf "%s:%d: %s\n", FILENAME, FNR, why
    bad++
}
BEGIN {
    common = "common/base common/crypto common/kernels common/nn " \
             "common/data common/codec common/formats"
    allow("common/base", "")
    allow("common/crypto", "common/base")
    allow("common/sodium", "common/base common/crypto")
    allow("common/kernels", "common/base")
    allow("common/nn", "common/base common/crypto common/kernels")
    allow("common/data", "common/base")
    allow("common/codec", "common/base common/kernels")
    allow("common/formats", "common/base common/crypto common/kernels common/nn")
    allow("proto", common)
    allow("client", common " proto")
    allow("server/round", common " proto")
    allow("server/store", common " proto server/round")
    allow("server/coordinator", common " proto server/round server/store")
    allow("server/http", common " proto server/round server/store server/coordinator")
    allow("server", common " common/sodium proto server/round server/store server/coordinator server/http")
    allow("client/cli", common " proto client server/round")
    allow("sim", common " proto client server/round")

    owner["^openssl/"] = " common/crypto "
    owner["^sodium"] = " common/sodium "
    owner["^cjson/"] = " common/base "
    owner["^sqlite3"] = " server/store "
    owner["^(microhttpd|gnutls/)"] = " server/http "
    owner["^curl/"] = " client client/cli "
    owner["^(pthread|threads)\\.h"] = " client client/cli server server/store server/coordinator server/http sim "

    n = split(list, path, "\n")
    for (i = 1; i <= n; i++) {
        base = path[i]
        sub(/.*\//, "", base)
        exists[path[i]] = 1
        homes[base] = homes[base] " " room(path[i])
    }
    homes["pocketfed/status.h"] = " common/base"
    homes["pocketfed/client.h"] = " client"
    homes["families.h"] = " common/kernels" # made by CMake
}
/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    name = $0
    sub(/^[^<"]*[<"]/, "", name)
    sub(/[>"].*/, "", name)
    from = room(FILENAME)
    if ($0 !~ /"/ && name !~ /^pocketfed\//) {
        for (o in owner)
            if (name ~ o && owner[o] !~ (" " from " "))
                wrong(from " may not use <" name ">; that is for" owner[o])
        if (name ~ /^cjson\// && FILENAME != "common/base/json.c")
            wrong("<" name "> is for common/base/json.c alone")
        next
    }
    if ($0 ~ /"/ && name ~ /\//) {
        wrong("an include in quotes has no path: " name)
        next
    }
    if (exists[dir(FILENAME) "/" name])
        next
    n = split(homes[name], home, " ")
    ok = 0
    for (i = 1; i <= n; i++)
        if ((from, home[i]) in may) ok = 1
    if (n == 0)
        wrong("no room has a header " name)
    else if (!ok)
        wrong(from " may not include " name " of" homes[name])
}
END { exit bad > 0 }
' $files
