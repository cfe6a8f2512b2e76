#!/usr/bin/env bash
# MinIO, an S3 server that checks signatures, through the Go proxy. A cold build takes minutes.
. "$(dirname "$0")/part.sh"
. tests/parts/go-toolchain.sh

fill() {
    GOBIN=$folder go install -ldflags='-s -w' "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
}
once minio tests/parts/minio.sh
echo "$folder"
