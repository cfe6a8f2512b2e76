"""Reads the files of a table themselves, and compares them with what the table's manifests say of them; with PyIceberg and PyArrow.

    files.py manifests DATA TABLE   one JSON object a data file: what its manifest says, and what is in it
    files.py unnamed DATA           what lies in the folders of all tables and no snapshot and no version of its metadata names

DATA is as in read.py.
"""

import json
import sys
from urllib.parse import urlparse

import pyarrow
import pyarrow.compute
import pyarrow.fs
import pyarrow.parquet
from pyiceberg.conversions import from_bytes

from read import KEY, REGION, SECRET, TABLES, load, remote


def store(data):
    """The file system, and a location's path in it."""
    if not remote(data):
        return pyarrow.fs.LocalFileSystem(), lambda location: urlparse(location).path
    s3 = pyarrow.fs.S3FileSystem(
        access_key=KEY, secret_key=SECRET, region=REGION, scheme="http", endpoint_override=remote(data)[1].removeprefix("http://")
    )
    return s3, lambda location: location.removeprefix("s3://")


def extremes(column):
    """As bounds have them: a time in microseconds, a date in days since 1970."""
    for is_such, number in ((pyarrow.types.is_timestamp, pyarrow.int64()), (pyarrow.types.is_date, pyarrow.int32())):
        column = column.cast(number) if is_such(column.type) else column
    found = pyarrow.compute.min_max(column).as_py()
    return [found["min"], found["max"]]


def is_sorted(rows, order):
    """NULL first, as the table's order says."""
    keys = [tuple((row[name] is not None, row[name]) for name in order) for row in rows.select(order).to_pylist()]
    return all(one <= other for one, other in zip(keys, keys[1:]))


def manifests(data, name):
    table = load(data, name)
    files, path = store(data)
    types = {field.field_id: (field.name, field.field_type) for field in table.schema().fields}
    order = [types[field.source_id][0] for field in table.sort_order().fields]
    partition = [types[field.source_id][0] for field in table.spec().fields]
    for manifest in table.current_snapshot().manifests(table.io):
        for entry in manifest.fetch_manifest_entry(table.io):
            said = entry.data_file
            file = pyarrow.parquet.ParquetFile(files.open_input_file(path(said.file_path)))
            rows = file.read()
            groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
            bounds = {
                types[field][0]: [from_bytes(types[field][1], said.lower_bounds[field]), from_bytes(types[field][1], said.upper_bounds[field])]
                for field in said.lower_bounds
            }
            nulls = {types[field][0]: count for field, count in said.null_value_counts.items()}
            yield {
                "path": said.file_path,
                "snapshot": entry.snapshot_id,
                "said": {"rows": said.record_count, "bytes": said.file_size_in_bytes, "partition": list(said.partition)},
                "found": {
                    "rows": rows.num_rows,
                    "bytes": files.get_file_info(path(said.file_path)).size,
                    "partition": partition_of(rows, partition),
                },
                "bounds": {name: {"said": bounds[name], "found": extremes(rows[name])} for name in bounds},
                "nulls": all(rows[name].null_count == count for name, count in nulls.items()),
                "ids": {field.name: int(field.metadata[b"PARQUET:field_id"]) for field in rows.schema},
                "codecs": sorted({group.column(at).compression for group in groups for at in range(group.num_columns)}),
                "groups": [group.num_rows for group in groups],
                "sorted": [is_sorted(file.read_row_group(at), order) for at in range(len(groups))],
                "sort_order": said.sort_order_id,
            }


def partition_of(rows, names):
    """The one value of each partition column, as a manifest has it: a date in days since 1970."""
    values = []
    for name in names:
        (value,) = rows[name].unique().cast(pyarrow.int32()).to_pylist()
        values.append(value)
    return values


def unnamed(data):
    files, path = store(data)
    for name in TABLES:
        table = load(data, name)
        named = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
        for snapshot in table.snapshots():
            named.add(snapshot.manifest_list)
            for manifest in snapshot.manifests(table.io):
                named.add(manifest.manifest_path)
                named.update(entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False))
        named = {path(location) for location in named}
        below = pyarrow.fs.FileSelector(path(table.location()), recursive=True)
        for found in files.get_file_info(below):
            if found.is_file and found.path not in named:
                yield {"table": name, "path": found.path}


def main():
    command, *rest = sys.argv[1:]
    for line in {"manifests": manifests, "unnamed": unnamed}[command](*rest):
        print(json.dumps(line, default=str))


if __name__ == "__main__":
    main()
