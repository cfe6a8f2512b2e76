"""Another writer of the tables, between floe's look and its commit, with PyIceberg.

    maintain.py DATA TABLE append      one row more: id `foreign`
    maintain.py DATA TABLE overwrite   every row written again in one snapshot, as compaction does: no mark of floe is on it
    maintain.py DATA TABLE expire      the same, then every snapshot but the newest is expired

DATA is as in read.py.
"""

import sys

import pyarrow

from read import load


def compact(table):
    table.overwrite(table.scan().to_arrow())


def main():
    data, name, action = sys.argv[1:]
    table = load(data, name)
    if action == "append":
        row = {field.name: None for field in table.schema().fields} | {"invocation_id": "foreign"}
        table.append(pyarrow.Table.from_pylist([row], schema=table.schema().as_arrow()))
        return
    compact(table)
    if action == "expire":
        table.refresh()
        head = table.current_snapshot().snapshot_id
        old = [snapshot.snapshot_id for snapshot in table.snapshots() if snapshot.snapshot_id != head]
        table.maintenance.expire_snapshots().by_ids(old).commit()


if __name__ == "__main__":
    main()
