#!/usr/bin/env bash
# The OpenTelemetry SDK for JavaScript and the TypeScript compiler, from npm.
. "$(dirname "$0")/part.sh"
source=tests/emitters/javascript
need node nodejs
need npm npm

fill() {
    cp "$source"/package*.json "$folder"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
}
once javascript "$source/package.json" "$source/package-lock.json"
# Node looks for packages beside the script. Node 20 knows no TypeScript.
cp "$source"/*.mjs "$folder"
"$folder/node_modules/.bin/tsc" -p examples/cloudflare-worker --outDir "$folder/worker" >&2
echo "$folder"
