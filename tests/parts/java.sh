#!/usr/bin/env bash
# The OpenTelemetry SDK for Java: jars by their SHA-256, from Maven Central or from the MAVEN_REPOSITORY that is set.
. "$(dirname "$0")/part.sh"
source=tests/emitters/java
need javac default-jdk-headless
need curl curl
found=$(javac -version 2>&1)
at_least 17 "${found#javac }" || fail "a JDK of 17 or newer is needed, found $found (Debian: apt-get install openjdk-17-jdk-headless)"

fill() {
    local digest path
    while read -r digest path; do
        curl -fsSL --retry 3 -o "$folder/${path##*/}" "${MAVEN_REPOSITORY:-https://repo1.maven.org/maven2}/$path"
        echo "$digest  $folder/${path##*/}" | sha256sum --check --quiet
    done <"$source/jars.sha256"
    javac -cp "$folder/*" -d "$folder/classes" "$source/Emit.java"
}
once java "$source/jars.sha256" "$source/Emit.java"
echo "$folder"
