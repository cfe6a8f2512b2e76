"""Reads a table behind R2's addresses as docs/engines says, and prints how many rows each reader finds.

    engines.py CATALOG WAREHOUSE TOKEN S3 KEY SECRET TABLE

S3, KEY and SECRET replace what Cloudflare's service says by itself: where its store is.
"""

import json
import sys

import duckdb
from duckdb_extensions import import_extension
from pyiceberg.catalog.rest import RestCatalog


def pyiceberg(catalog, warehouse, token, s3, _key, _secret, table):
    # The keys are those that the catalog vends.
    r2 = RestCatalog("r2", uri=catalog, warehouse=warehouse, token=token, **{"s3.endpoint": s3, "s3.region": "auto"})
    return r2.load_table(table).scan().to_arrow().num_rows


def duck(catalog, warehouse, token, s3, key, secret, table):
    connection = duckdb.connect()
    for extension in ("avro", "httpfs", "iceberg"):
        import_extension(extension, con=connection)
    connection.execute(
        f"CREATE SECRET store (TYPE S3, KEY_ID '{key}', SECRET '{secret}', REGION 'auto', "
        f"ENDPOINT '{s3.removeprefix('http://')}', URL_STYLE 'path', USE_SSL false)"
    )
    connection.execute(f"CREATE SECRET r2_secret (TYPE ICEBERG, TOKEN '{token}')")
    connection.execute(
        f"ATTACH '{warehouse}' AS r2 (TYPE ICEBERG, ENDPOINT '{catalog}', SECRET r2_secret, ACCESS_DELEGATION_MODE 'none')"
    )
    return connection.execute(f"SELECT count(*) FROM r2.{table}").fetchone()[0]


def main():
    print(json.dumps({"pyiceberg": pyiceberg(*sys.argv[1:]), "duckdb": duck(*sys.argv[1:])}))


if __name__ == "__main__":
    main()
