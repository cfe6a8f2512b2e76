"""The first question: which functions are called most, how long they take, how often they fail. Asked of the tables with DuckDB.

    pip install duckdb duckdb-extensions duckdb-extension-avro duckdb-extension-iceberg
    python top_functions.py [floe-data]
"""

import sqlite3
import sys

import duckdb
from duckdb_extensions import import_extension

data = sys.argv[1] if len(sys.argv) > 1 else "floe-data"

# Any SQL catalog of Iceberg says in one table where the newest metadata of each table is.
catalog = sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True)
where = "SELECT metadata_location FROM iceberg_tables WHERE table_namespace = 'analytics' AND table_name = 'invocations'"
(metadata,) = catalog.execute(where).fetchone()

# `INSTALL iceberg; LOAD iceberg;` does the same where DuckDB's own server of extensions can be reached.
for extension in ("avro", "iceberg"):
    import_extension(extension)

print(duckdb.sql(f"""
    SELECT function_id, COUNT(*) AS invocations, ROUND(AVG(duration_ms), 2) AS avg_ms,
           ROUND(AVG(CASE WHEN success THEN 0 ELSE 1 END), 4) AS error_rate
    FROM iceberg_scan('{metadata}')
    GROUP BY function_id ORDER BY invocations DESC LIMIT 10
"""))
