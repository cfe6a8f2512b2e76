#!/usr/bin/env bash
# ClickHouse as a Python library, from PyPI, in an environment of its own: 150 MB to fetch, 600 MB on the disk.
. "$(dirname "$0")/part.sh"
need python3 python3

fill() {
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check chdb==4.4.0 chdb-core==26.9.0
}
once chdb tests/parts/chdb.sh
echo "$folder"
