"""Takes what a pack declares into the database: catalogue, funnel, position bias and the typed views of its events.

Each start of a sink does it, so the tables speak of the pack that the sink was last started on. Knows packs and tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from sinks.columns import SCHEMAS
from sinks.database import Database
from sinks.views import product_views

if TYPE_CHECKING:
    from personas.pack import Pack


def load_pack(database: Database, pack: Pack) -> None:
    """Take over a pack's catalogue, funnel and event views, replacing those of an earlier version, all or nothing."""
    product = pack.product.name
    with database.transaction():
        database.execute("DELETE FROM items WHERE product = ?", [product])
        with database.registered(item_table(pack)):
            database.execute("INSERT INTO items BY NAME FROM incoming")
        database.execute("DELETE FROM funnel_steps WHERE product = ?", [product])
        for step, name in enumerate(pack.product.funnel):
            database.execute("INSERT INTO funnel_steps VALUES (?, ?, ?)", [product, step, name])
        database.execute("DELETE FROM slate_positions WHERE product = ?", [product])
        for name, slate in pack.product.slates.items():
            for place in range(slate.size):
                row = [product, name, place + 1, slate.examination**place]
                database.execute("INSERT INTO slate_positions VALUES (?, ?, ?, ?)", row)
        for statement in product_views(pack):
            database.execute(statement)


def item_table(pack: Pack) -> pa.Table:
    """The rows of `items`."""
    items = pack.catalog.items
    own = ("title", "category", "price", "quality", "launch_day", "text")
    columns = {
        "product": [pack.product.name] * len(items),
        "item_id": [item.id for item in items],
        **{name: [getattr(item, name) for item in items] for name in own},
        "pack_fingerprint": [pack.fingerprint] * len(items),
    }
    return pa.table(columns, schema=SCHEMAS["items"])
