#!/usr/bin/env bash
# Prometheus's own parsers, and a Collector with its Prometheus exporter, through the Go proxy. tests/parts/go.sh has built most of what they stand on.
. "$(dirname "$0")/part.sh"
source=tests/prometheus
. tests/parts/go-toolchain.sh

fill() {
    export GOTOOLCHAIN=local CGO_ENABLED=0
    local build=(go build -C "$source" -p "${FLOE_TEST_GO_JOBS:-2}" -buildvcs=false -trimpath "-ldflags=-s -w")
    "${build[@]}" -o "$folder/read" ./read
    "${build[@]}" -o "$folder/collector" ./collector
}
once prometheus "$source/go.mod" "$source/go.sum" "$source"/*/*.go
echo "$folder"
