"""Makes the table `invocations` before floe does, as another tool would, with PyIceberg.

    foreign.py DATA reversed       columns in another order behind one of its own, other field ids, times without a zone; date and hour
    foreign.py DATA unpartitioned  the same without partitions
    foreign.py DATA day            the same, partitioned by day(started_at)
    foreign.py DATA bucket         the same, partitioned by bucket(16, function_id)
    foreign.py DATA required       the same, and its own column is required
    foreign.py DATA narrow         the same, and memory_used_bytes is an int
"""

import os
import sys

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
)

from read import catalog, remote

COLUMNS = {
    "hour": IntegerType(),
    "date": DateType(),
    "colo": StringType(),
    "region": StringType(),
    "client_ip": StringType(),
    "memory_used_bytes": LongType(),
    "cold_start": BooleanType(),
    "error_message": StringType(),
    "error_type": StringType(),
    "success": BooleanType(),
    "duration_ms": DoubleType(),
    "started_at": TimestampType(),
    "version": StringType(),
    "language": StringType(),
    "function_id": StringType(),
    "invocation_id": StringType(),
}


def main():
    data, variant = sys.argv[1:]
    if not remote(data):
        os.makedirs(data, exist_ok=True)
    namespace = remote(data)[2] if remote(data) else "analytics"
    there = catalog(data)
    there.create_namespace(namespace)
    columns = dict(COLUMNS, memory_used_bytes=IntegerType()) if variant == "narrow" else COLUMNS
    fields = [NestedField(1, "note", StringType(), required=variant == "required")]
    fields += [NestedField(2 + at, name, kind, required=False) for at, (name, kind) in enumerate(columns.items())]
    ids = {field.name: field.field_id for field in fields}
    specs = {
        "unpartitioned": [],
        "day": [("started_at", DayTransform(), "started_day")],
        "bucket": [("function_id", BucketTransform(16), "function_bucket")],
    }
    identity = [("date", IdentityTransform(), "date"), ("hour", IdentityTransform(), "hour")]
    spec = specs.get(variant, identity)
    parts = [PartitionField(ids[source], 1000 + at, transform, name) for at, (source, transform, name) in enumerate(spec)]
    there.create_table(f"{namespace}.invocations", Schema(*fields), partition_spec=PartitionSpec(*parts))


if __name__ == "__main__":
    main()
