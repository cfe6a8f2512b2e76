"""Asks ClickHouse (chDB), on a REST catalog named r2, and prints the rows of each query as one line of JSON.

    clickhouse.py CATALOG S3 QUERY…     run by the Python of tests/parts/chdb.sh; the settings are those of docs/engines/clickhouse.md
"""

import json
import sys

from chdb import session

catalog, s3, *queries = sys.argv[1:]
clickhouse = session.Session()
clickhouse.query("SET allow_database_iceberg = 1")
clickhouse.query(
    f"CREATE DATABASE r2 ENGINE = DataLakeCatalog('{catalog}/v1', 'floe', 'floe-secret') "
    f"SETTINGS catalog_type = 'rest', storage_endpoint = '{s3}/floe', warehouse = 'floe'"
)
for query in queries:
    rows = clickhouse.query(query, "JSONEachRow").bytes().decode().splitlines()
    print(json.dumps([json.loads(row) for row in rows]), flush=True)
