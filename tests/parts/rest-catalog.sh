#!/usr/bin/env bash
# Apache Iceberg's own REST catalog, from Maven Central or from the MAVEN_REPOSITORY that is set.
. "$(dirname "$0")/part.sh"
jar=org/apache/iceberg/iceberg-open-api/1.10.1/iceberg-open-api-1.10.1.jar
need javac default-jdk-headless
need curl curl

fill() {
    curl -fsSL --retry 3 -o "$folder/catalog.jar" "${MAVEN_REPOSITORY:-https://repo1.maven.org/maven2}/$jar"
    javac -cp "$folder/catalog.jar" -d "$folder/classes" tests/parts/RestCatalog.java
}
once rest-catalog tests/parts/rest-catalog.sh tests/parts/RestCatalog.java
echo "$folder"
