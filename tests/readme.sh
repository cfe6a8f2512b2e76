#!/usr/bin/env bash
# Walks through the README as a newcomer would: cuts the commands out of its section "First query" and runs them in a fresh clone, with a fresh HOME.
# The commands are run as they stand. `cargo run --release` alone is the gateway: it goes to the background until the end.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
gateway=
cleanup() {
    [ -z "$gateway" ] || { kill -TERM "$gateway" 2>/dev/null && wait "$gateway" 2>/dev/null; } || true
    rm -rf "$work"
}
trap cleanup EXIT

git clone --quiet "$root" "$work/floe"
# The toolchain and its caches are the machine's; everything else about this user is new.
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
export HOME=$work/home
mkdir -p "$HOME"
cd "$work/floe"

awk '/^## /{on = /First query/} on && /^```/{if (code) {code = 0} else {code = /^```sh/} next} on && code' README.md >"$work/commands"
[ -s "$work/commands" ] || { echo "the README has no commands under \"First query\"" >&2; exit 1; }

while IFS= read -r command <&3; do
    [ -n "$command" ] || continue
    echo "\$ $command"
    if [ "$command" = "cargo run --release" ]; then
        cargo build --release --locked
        if grep -q after_fsync_before_ack "$CARGO_TARGET_DIR/release/floe"; then
            echo "the release holds crash points" >&2
            exit 1
        fi
        "$CARGO_TARGET_DIR/release/floe" >"$work/gateway.log" 2>&1 &
        gateway=$!
        for _ in $(seq 200); do
            curl -fsS -o /dev/null http://127.0.0.1:13133/ 2>/dev/null && break
            kill -0 "$gateway" 2>/dev/null || { cat "$work/gateway.log"; echo "the gateway did not start" >&2; exit 1; }
            sleep 0.1
        done
        continue
    fi
    bash -euo pipefail -c "$command" | tee "$work/last"
done 3<"$work/commands"

grep -q 'thumbnails' "$work/last" || { echo "the last command of the README did not print the function that was sent" >&2; exit 1; }
kill -TERM "$gateway"
wait "$gateway"
gateway=
echo "the README's commands work in a fresh clone"
