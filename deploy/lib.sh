# lib.sh - what deploy/demo, deploy/fetch-data and tests/run share: say, fail,
# install Debian packages, build.  Sourced by bash; defines functions only.
# shellcheck shell=bash

# The top of the source tree, wherever the caller stands.
pf_root() {
    (cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
}

# One line for people, on stderr.
pf_say() {
    printf '%s\n' "$*" >&2
}

# pf_die WHAT WHY DO [PAGE [STATUS]]: what did not happen, why, what to do
# about it, where to read more; then exit (1 unless told otherwise).
pf_die() {
    local line
    for line in "$1" "${2:-}" "${3:-}" "${4:-}"; do
        [ -z "$line" ] || pf_say "$line"
    done
    exit "${5:-1}"
}

pf_have() {
    command -v "$1" >/dev/null 2>&1
}

# Runs a command as root: as it is, or through sudo, which may ask for a
# password only where there is a terminal to ask on.
pf_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# pf_need_apt PACKAGE...: installs those that are missing, if any.
pf_need_apt() {
    local package installed missing=() log
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y
        -o DPkg::Lock::Timeout=300 -o APT::Install-Recommends=false)

    if ! pf_have dpkg-query || ! pf_have apt-get; then
        pf_have cmake && return 0 # not Debian: take what there is
        pf_die "the packages that pocketfed needs were not installed" \
            "this system has no apt-get" \
            "install the equivalents of: $*"
    fi
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" \
        2>/dev/null) || true # it fails when one is unknown
    for package in "$@"; do
        grep -qxF "$package installed" <<<"$installed" ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] && ! pf_have sudo; then
        pf_die "these packages were not installed: ${missing[*]}" \
            "that takes root, and there is no sudo" \
            "as root: apt-get install ${missing[*]}"
    fi

    pf_say "installing ${missing[*]}"
    log=$(mktemp "${TMPDIR:-/tmp}/pocketfed-apt.XXXXXX") || exit 1
    # Offline, apt-get update fails but packages may still be in the cache:
    # whether the installation works is what counts.
    pf_as_root "${apt[@]}" update >"$log" 2>&1 </dev/null || true
    if ! pf_as_root "${apt[@]}" install "${missing[@]}" >>"$log" 2>&1 \
        </dev/null; then
        tail -n 15 "$log" >&2
        pf_die "these packages were not installed: ${missing[*]}" \
            "apt-get failed, see above: is this machine online?" \
            "once it is: apt-get update && apt-get install ${missing[*]}" \
            "the whole output is in $log"
    fi
    rm -f "$log"
}

PF_BUILD_PACKAGES=(build-essential cmake ninja-build pkg-config
    libmicrohttpd-dev libgnutls28-dev libcurl4-openssl-dev libcjson-dev
    libssl-dev libsqlite3-dev zlib1g-dev libpng-dev libinih-dev libsodium-dev
    libcmocka-dev)

# Is build/PRESET configured, by this very tree?
pf_configured() {
    local dir=$1/build/$2
    [ -f "$dir/build.ninja" ] &&
        grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$1" "$dir/CMakeCache.txt"
}

# pf_build PRESET [TARGET...]: everything up to date in build/PRESET. Says
# nothing when it already was.
pf_build() {
    local preset=$1 root log targets=()
    local packages=("${PF_BUILD_PACKAGES[@]}")
    shift
    [ $# -eq 0 ] || targets=(--target "$@")
    root=$(pf_root)
    log=$root/build/$preset.log

    case $preset in
    dev-clang) packages+=(clang-14) ;;
    fuzz) packages+=(clang-14 libclang-rt-14-dev) ;;
    cov) packages+=(gcovr) ;;
    esac
    pf_need_apt "${packages[@]}"
    mkdir -p "$root/build" ||
        pf_die "pocketfed was not built" "$root/build cannot be written" \
            "copy the source tree to a place of your own"
    if ! pf_configured "$root" "$preset"; then
        pf_say "configuring build/$preset"
        rm -rf "$root/build/$preset/CMakeCache.txt" \
            "$root/build/$preset/CMakeFiles"
        (cd "$root" && cmake --preset "$preset") >"$log" 2>&1 ||
            pf_build_failed "$log" "configured"
    fi
    (
        set -o pipefail
        cd "$root" && cmake --build --preset "$preset" "${targets[@]}" \
            2>&1 </dev/null | pf_build_progress "$preset" "$log"
    ) || pf_build_failed "$log" "built"
}

# Copies ninja's lines into a log and tells how far they are, in one line that
# moves where stderr is a terminal. Says nothing when nothing is built.
pf_build_progress() {
    local line said=
    while IFS= read -r line; do
        printf '%s\n' "$line"
        case $line in
        *'] Re-'*) ;; # checks whether it is up to date
        '['*/*']'*)
            if [ -t 2 ]; then
                printf '\rbuilding build/%s %s]' "$1" "${line%%]*}" >&2
            elif [ -z "$said" ]; then
                pf_say "building build/$1"
            fi
            said=1
            ;;
        esac
    done >"$2"
    [ -z "$said" ] || [ ! -t 2 ] || pf_say
}

pf_build_failed() {
    tail -n 40 "$1" >&2
    pf_die "pocketfed was not $2" "see the messages above" \
        "if the source is as released, please report it" \
        "the whole output is in $1"
}
