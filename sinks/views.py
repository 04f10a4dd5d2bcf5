"""The typed views of a product: `<product>.<event type>`, one per event, with the declared properties as columns.

Makes SQL text out of a pack's declarations; runs nothing. Two ways were weighed: real typed columns for every
property (a table per event type, altered whenever a pack grows), or one JSON column with views over it. Views won:
events of all products and pack versions share a table, and changing a declaration needs no migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from personas.sql import identifier, literal

if TYPE_CHECKING:
    from personas.pack import Pack

#: Columns of `events` that every view repeats; a property of the same name is called property_<name> there.
SHARED_COLUMNS = (
    "event_id", "run_id", "session_id", "sequence", "user_id", "time", "item_id", "synthetic", "generator",
    "generation",
)  # fmt: skip

_SQL_TYPES = {"string": "VARCHAR", "number": "DOUBLE", "integer": "BIGINT", "boolean": "BOOLEAN"}


def property_column(name: str, kind: str) -> str:
    """The SQL that reads one property out of the JSON column, with its type; null where it is absent."""
    path = literal('$."' + name + '"')
    if kind == "strings":
        value = f"CAST(properties -> {path} AS VARCHAR[])"
    else:
        value = f"TRY_CAST(properties ->> {path} AS {_SQL_TYPES[kind]})"
    return f"{value} AS {identifier(f'property_{name}' if name in SHARED_COLUMNS else name)}"


def event_view(product: str, event: str, properties: Mapping[str, str]) -> str:
    """The statement that makes the view of one event type; `properties` maps names to their declared types."""
    columns = [*SHARED_COLUMNS, *(property_column(name, kind) for name, kind in properties.items())]
    return (
        f"CREATE OR REPLACE VIEW {identifier(product)}.{identifier(event)} AS SELECT {', '.join(columns)} "  # noqa: S608
        f"FROM main.events WHERE product = {literal(product)} AND type = {literal(event)}"
    )


def product_views(pack: Pack) -> tuple[str, ...]:
    """All statements that give a pack's product its schema of views."""
    product = pack.product.name
    views = [
        event_view(product, name, {key: spec.type for key, spec in event.properties.items()})
        for name, event in pack.product.events.items()
    ]
    return (f"CREATE SCHEMA IF NOT EXISTS {identifier(product)}", *views)
