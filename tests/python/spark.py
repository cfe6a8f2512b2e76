"""Runs statements in local Spark, on a REST catalog named r2, and prints the rows of each as one line of JSON.

    spark.py FOLDER CATALOG S3 STATEMENT…     FOLDER is what tests/parts/spark.sh has printed

Run by the Python of that folder; the settings are those of docs/engines/spark.md, with keys of the store in place of vended ones.
"""

import glob
import json
import sys

from pyspark.sql import SparkSession

folder, catalog, s3, *statements = sys.argv[1:]
settings = {
    "spark.jars": ",".join(glob.glob(f"{folder}/*.jar")),
    "spark.driver.memory": "768m",
    "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Daws.region=us-east-1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.catalog.r2": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.r2.type": "rest",
    "spark.sql.catalog.r2.uri": catalog,
    "spark.sql.catalog.r2.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
    "spark.sql.catalog.r2.client.region": "us-east-1",
    "spark.sql.catalog.r2.s3.endpoint": s3,
    "spark.sql.catalog.r2.s3.path-style-access": "true",
    "spark.sql.catalog.r2.s3.access-key-id": "floe",
    "spark.sql.catalog.r2.s3.secret-access-key": "floe-secret",
}
builder = SparkSession.builder.master("local[2]")
for name, value in settings.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
for statement in statements:
    rows = [row.asDict(recursive=True) for row in spark.sql(statement).collect()]
    print(json.dumps(rows, default=str), flush=True)
