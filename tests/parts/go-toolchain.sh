# shellcheck shell=bash
# A Go that is new enough for tests/emitters/go, and so for MinIO; through the Go proxy where none or too old a one is found (Debian 12's is). Sourced.
go_mod=tests/emitters/go/go.mod
wanted=$(sed -n 's/^go //p' "$go_mod")
need curl curl
need python3 python3

# The toolchain of go.mod, from the first proxy that GOPROXY names: a zip whose programs have lost their permission to run.
fill_toolchain() {
    local proxies=${GOPROXY:-https://proxy.golang.org} arch digest
    case $(uname -sm) in
    "Linux x86_64") arch=amd64 digest=38461905b98c59173672814302e222ab43b652274bc0c95817b08b71ab66b705 ;;
    "Linux aarch64") arch=arm64 digest=4c3f961bc257ff52e7a425166f9f75015f645dff071d01a81823455ffe646609 ;;
    *) fail "Go $wanted or newer is missing: install it from https://go.dev/dl" ;;
    esac
    local version=v0.0.1-go$wanted.linux-$arch
    curl -fsSL --retry 3 -o "$folder/zip" "${proxies%%[,|]*}/golang.org/toolchain/@v/$version.zip" ||
        fail "Go $wanted or newer is missing and ${proxies%%[,|]*} has none: install it from https://go.dev/dl"
    echo "$digest  $folder/zip" | sha256sum --check --quiet
    python3 -m zipfile -e "$folder/zip" "$folder"
    rm "$folder/zip"
    mv "$folder/golang.org/toolchain@$version" "$folder/go"
    chmod +x "$folder"/go/bin/* "$folder"/go/pkg/tool/*/*
}

found=$(go env GOVERSION 2>/dev/null || true)
if ! at_least "$wanted" "${found#go}"; then
    fill() { fill_toolchain; }
    once go-toolchain "$go_mod"
    export GOROOT=$folder/go PATH=$folder/go/bin:$PATH
fi
