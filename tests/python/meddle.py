"""What other people do to a table.

    meddle.py forget DATA TABLE    removes the watermark, and expires every snapshot but the newest, which is somebody else's
"""

import sys

from pyiceberg.catalog.sql import SqlCatalog


def forget(data, name):
    catalog = SqlCatalog("default", uri=f"sqlite:///{data}/catalog.db", warehouse=f"file://{data}/warehouse")
    table = catalog.load_table(f"analytics.{name}")
    with table.transaction() as transaction:
        transaction.remove_properties(*[key for key in table.properties if key.startswith("floe.watermark.")])
    table.append(table.schema().as_arrow().empty_table())
    old = [snapshot.snapshot_id for snapshot in table.snapshots() if snapshot.snapshot_id != table.current_snapshot().snapshot_id]
    table.maintenance.expire_snapshots().by_ids(old).commit()


command, *rest = sys.argv[1:]
{"forget": forget}[command](*rest)
