#!/usr/bin/env bash
# The OpenTelemetry SDK for browsers as one file, and the Chromium that runs it: the packages from npm, Chromium from the system's.
. "$(dirname "$0")/part.sh"
source=tests/emitters/browser
need node nodejs
need npm npm
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$chromium" ] || need chromium chromium
chromium=${chromium:-$(command -v chromium)}
found=$(node --version)
at_least 18 "${found#v}" || fail "Node 18 or newer is needed, found $found"

fill() {
    cp "$source"/package*.json "$source"/*.mjs "$folder"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
    "$folder/node_modules/.bin/esbuild" "$folder/page.mjs" --bundle --format=esm --minify --log-level=warning "--outfile=$folder/page.js"
}
once browser "$source/package.json" "$source/package-lock.json" "$source"/*.mjs
ln -sfn "$chromium" "$folder/chromium"
ln -sfn "$(command -v node)" "$folder/node"
echo "$folder"
