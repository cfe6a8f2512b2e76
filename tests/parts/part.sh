# shellcheck shell=bash
# What every part needs: install once into the test cache, one installer at a time, and say where. Sourced by the others, which print that folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cache=${FLOE_TEST_CACHE:-$HOME/.cache/floe-tests}
mkdir -p "$cache"

fail() { echo "${0##*/}: $*" >&2; exit 1; }

# Makes sure that a command is there: root gets it from Debian's packages.
need() { # need COMMAND PACKAGE…
    command -v "$1" >/dev/null && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "$1 is missing (Debian: apt-get install ${*:2})"
    echo "${0##*/}: installing ${*:2}" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${@:2}" >/dev/null || fail "could not install ${*:2}"
}

# Whether a version is at least another; nothing is older than everything.
at_least() { # at_least WANTED FOUND
    [ -n "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# Sets folder to $cache/NAME-HASH, where HASH is that of the files; `fill` fills it unless it has been filled.
# Stands in no condition: there the shell would go on after a failed command of `fill`.
once() { # once NAME FILE…
    folder=$cache/$1-$(cat "${@:2}" | sha256sum | cut -c1-12)
    [ -e "$folder/ready" ] && return
    (
        flock 9
        [ -e "$folder/ready" ] && exit
        echo "${0##*/}: installing into $folder" >&2
        rm -rf "$folder"
        mkdir -p "$folder"
        fill >&2
        touch "$folder/ready"
        echo "${0##*/}: installed in $SECONDS s" >&2
    ) 9>"$cache/.$1.lock"
}
