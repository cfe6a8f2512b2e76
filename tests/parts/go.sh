#!/usr/bin/env bash
# The OpenTelemetry SDK for Go, telemetrygen and a Collector that forwards, through the Go proxy. A cold build takes minutes: the Collector is
# large.
. "$(dirname "$0")/part.sh"
source=tests/emitters/go
. tests/parts/go-toolchain.sh

fill() {
    export GOTOOLCHAIN=local CGO_ENABLED=0
    local build=(go build -C "$source" -p "${FLOE_TEST_GO_JOBS:-2}" -buildvcs=false -trimpath "-ldflags=-s -w")
    "${build[@]}" -o "$folder/emit" ./emit
    "${build[@]}" -o "$folder/meter" ./meter
    "${build[@]}" -o "$folder/" tool
    "${build[@]}" -o "$folder/collector" ./collector
}
once go "$source/go.mod" "$source/go.sum" "$source"/*/*.go
echo "$folder"
