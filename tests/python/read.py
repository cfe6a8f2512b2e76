"""Reads what floe wrote, with PyIceberg or DuckDB, and prints it as JSON. An independent reader: it shares no code with floe.

    read.py rows DATA TABLE [FILTER]      every row of a table, one JSON object a line
    read.py files DATA TABLE [FILTER]     the files that a scan with this filter would open
    read.py table DATA TABLE              schema, partition spec, sort order, properties, snapshots
    read.py sql DATA QUERY                DuckDB over the tables: {invocations}, {rate_limits}, {deployments}, {errors}
    read.py arrow DATA QUERY              the same over what PyIceberg reads of each

DATA is the directory that holds catalog.db and warehouse/. TABLE is in the namespace `analytics`, or `namespace.table`.
"""

import json
import sys

import duckdb
from duckdb_extensions import import_extension
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog

TABLES = ("invocations", "rate_limits", "deployments", "errors")


KEY, SECRET, REGION = "floe", "floe-secret", "us-east-1"


def remote(data):
    """Catalog URI, S3 URL and namespace of a REST catalog; None for a directory."""
    kind, *rest = data.split(" ")
    return rest if kind == "rest" else None


def catalog(data):
    if not remote(data):
        return SqlCatalog("default", uri=f"sqlite:///{data}/catalog.db", warehouse=f"file://{data}/warehouse")
    uri, s3, _ = remote(data)
    keys = {"s3.access-key-id": KEY, "s3.secret-access-key": SECRET, "s3.region": REGION}
    return RestCatalog("lake", **{"uri": uri, "s3.endpoint": s3, **keys})


def load(data, table):
    if "." not in table:
        table = f"{remote(data)[2] if remote(data) else 'analytics'}.{table}"
    return catalog(data).load_table(table)


def rows(data, table, row_filter="True"):
    for row in load(data, table).scan(row_filter=row_filter).to_arrow().to_pylist():
        yield row


def files(data, table, row_filter="True"):
    for task in load(data, table).scan(row_filter=row_filter).plan_files():
        file = task.file
        yield {
            "path": file.file_path,
            "rows": file.record_count,
            "bytes": file.file_size_in_bytes,
            "sort_order": file.sort_order_id,
            "partition": [str(value) for value in file.partition],
        }


def table(data, name):
    loaded = load(data, name)
    names = {field.field_id: field.name for field in loaded.schema().fields}
    yield {
        "format": loaded.metadata.format_version,
        "fields": [[f.field_id, f.name, str(f.field_type), f.doc] for f in loaded.schema().fields],
        "partition": [[f.name, str(f.transform), names[f.source_id]] for f in loaded.spec().fields],
        "sort": [[names[f.source_id], str(f.direction), str(f.null_order)] for f in loaded.sort_order().fields],
        "properties": dict(loaded.properties),
        "snapshots": [dict(s.summary.additional_properties, operation=s.summary.operation.value) for s in loaded.snapshots()],
        "metadata": loaded.metadata_location,
    }


def sql(data, query):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return answers(connection, query, scans(connection, data))


def arrow(data, query):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name in TABLES:
        connection.register(name, load(data, name).scan().to_arrow())
    return answers(connection, query, {name: name for name in TABLES})


def scans(connection, data):
    """What DuckDB reads each table with."""
    for extension in ("avro", "httpfs", "iceberg"):
        import_extension(extension, con=connection)
    if remote(data):
        uri, s3, namespace = remote(data)
        connection.execute(
            f"CREATE SECRET (TYPE S3, KEY_ID '{KEY}', SECRET '{SECRET}', REGION '{REGION}', "
            f"ENDPOINT '{s3.removeprefix('http://')}', URL_STYLE 'path', USE_SSL false)"
        )
        options = "AUTHORIZATION_TYPE 'none', ACCESS_DELEGATION_MODE 'none'"
        connection.execute(f"ATTACH '' AS lake (TYPE ICEBERG, ENDPOINT '{uri}', {options})")
        return {name: f"lake.{namespace}.{name}" for name in TABLES}
    return {name: f"iceberg_scan('{load(data, name).metadata_location}')" for name in TABLES}


def answers(connection, query, scans):
    result = connection.execute(query.format(**scans))
    columns = [column[0] for column in result.description]
    for row in result.fetchall():
        yield dict(zip(columns, row))


def main():
    command, data, *rest = sys.argv[1:]
    made = {"rows": rows, "files": files, "table": table, "sql": sql, "arrow": arrow}[command](data, *rest)
    for line in made:
        print(json.dumps(line, default=str))


if __name__ == "__main__":
    main()
