"""Prints all that Parquet and Avro files hold, with their statistics and metadata: what compression hides from a search for bytes.

    dump.py DIRECTORY
"""

import pathlib
import sys

import duckdb
import pyarrow.parquet
from duckdb_extensions import import_extension


def main():
    connection = duckdb.connect()
    import_extension("avro", con=connection)
    for path in sorted(pathlib.Path(sys.argv[1]).rglob("*")):
        if path.suffix == ".parquet":
            file = pyarrow.parquet.ParquetFile(path)
            print(path, file.schema_arrow.metadata, file.metadata.metadata)
            for group in range(file.metadata.num_row_groups):
                print(file.metadata.row_group(group).to_dict())
            for row in pyarrow.parquet.read_table(path, partitioning=None).to_pylist():
                print(row)
        elif path.suffix == ".avro":
            print(path)
            for row in connection.execute("SELECT * FROM read_avro(?)", [str(path)]).fetchall():
                print(row)


main()
