"""What other people do to a table.

    meddle.py ACTION DATA TABLE [COLUMN]

    forget      removes the watermark, and expires every snapshot but the newest, which is somebody else's
    remove      removes the watermark
    put_back    sets the watermark to what it was at position 1
    raise       sets the watermark to a position that the log has not reached
    rollback    rolls the table back by one snapshot
    drop        drops it
    spec        stops partitioning it by its last partition field
    drop_column, add_column     drops a column; adds one of text
"""

import sys
import uuid

from pyiceberg.types import StringType

from read import load


def watermark(table):
    return next(key for key in table.properties if key.startswith("floe.watermark."))


def remove(table):
    with table.transaction() as transaction:
        transaction.remove_properties(watermark(table))


def forget(table):
    remove(table)
    table.append(table.schema().as_arrow().empty_table())
    old = [snapshot.snapshot_id for snapshot in table.snapshots() if snapshot.snapshot_id != table.current_snapshot().snapshot_id]
    table.maintenance.expire_snapshots().by_ids(old).commit()


def change(table, value):
    with table.transaction() as transaction:
        transaction.set_properties({watermark(table): value})


def put_back(table):
    commits = {snapshot.summary["floe.last"]: snapshot.summary["floe.commit-id"] for snapshot in table.snapshots()}
    change(table, f"1:{commits['1']}")


def put_forward(table):
    change(table, f"1000:{uuid.uuid4()}")


def rollback(table):
    table.manage_snapshots().rollback_to_snapshot(table.current_snapshot().parent_snapshot_id).commit()


def drop(table):
    table.catalog.drop_table(table.name())


def spec(table):
    with table.update_spec() as update:
        update.remove_field(table.spec().fields[-1].name)


def drop_column(table, column):
    with table.update_schema(allow_incompatible_changes=True) as change:
        change.delete_column(column)


def add_column(table, column):
    with table.update_schema() as change:
        change.add_column(column, StringType())


action, data, name, *column = sys.argv[1:]
actions = {"forget": forget, "remove": remove, "put_back": put_back, "raise": put_forward, "rollback": rollback, "drop": drop, "spec": spec}
actions |= {"drop_column": drop_column, "add_column": add_column}
actions[action](load(data, name), *column)
