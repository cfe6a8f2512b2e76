#!/usr/bin/env bash
# Spark 3.5 from PyPI with Iceberg's runtime from Maven Central, or from the MAVEN_REPOSITORY that is set.
. "$(dirname "$0")/part.sh"
need java default-jre-headless
need curl curl
need python3 python3

fill() {
    local digest path
    while read -r digest path; do
        curl -fsSL --retry 3 -o "$folder/${path##*/}" "${MAVEN_REPOSITORY:-https://repo1.maven.org/maven2}/$path"
        echo "$digest  $folder/${path##*/}" | sha256sum --check --quiet
    done <<'JARS'
94b8e36fc329f0293d44ba9e01b784a56e9501affec1842d898144c51f6e486a org/apache/iceberg/iceberg-spark-runtime-3.5_2.12/1.11.0/iceberg-spark-runtime-3.5_2.12-1.11.0.jar
38f01da7e96850cdd05e6616d758b77b43314b712a8808e3f9a824d56976162f org/apache/iceberg/iceberg-aws-bundle/1.11.0/iceberg-aws-bundle-1.11.0.jar
JARS
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyspark==3.5.9
}
once spark tests/parts/spark.sh
echo "$folder"
