#!/usr/bin/env bash
# The OpenTelemetry SDK for Go, telemetrygen and a Collector that forwards, through the Go proxy.
# A cold build takes minutes: the Collector is large. A Go older than go.mod wants fetches the newer one itself, from 1.21 on.
. "$(dirname "$0")/part.sh"
source=tests/emitters/go
need go golang

fill() {
    local build=(go build -C "$source" -p "${FLOE_TEST_GO_JOBS:-1}" -buildvcs=false -ldflags=-s)
    "${build[@]}" -o "$folder/emit" ./emit
    "${build[@]}" -o "$folder/" tool
    "${build[@]}" -o "$folder/collector" ./collector
}
once go "$source/go.mod" "$source/go.sum" "$source"/*/*.go
echo "$folder"
