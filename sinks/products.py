"""Takes what a pack declares into the database: catalogue, help texts, events, intents, funnel, position bias, views.

Each start of a sink does it, so the tables speak of the pack that the sink was last started on. Knows packs and tables.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow as pa

from personas.persona import HOURS_OF_WEEK
from sinks.columns import SCHEMAS
from sinks.database import Database
from sinks.views import product_views

if TYPE_CHECKING:
    from personas.pack import Pack


_TEXT = pa.string()
_DECLARED = {
    "funnel_steps": pa.schema([("product", _TEXT), ("step", pa.int32()), ("type", _TEXT)]),
    "slate_positions": pa.schema(
        [("product", _TEXT), ("slate", _TEXT), ("position", pa.int32()), ("examination", pa.float64())]
    ),
    "event_types": pa.schema(
        [("product", _TEXT), ("type", _TEXT), ("item", _TEXT), ("slate", _TEXT), ("conversion", pa.bool_())]
    ),
    "event_properties": pa.schema([(name, _TEXT) for name in ("product", "type", "property", "kind", "source")]),
    "expectations": pa.schema(
        [
            ("product", _TEXT),
            ("pack_fingerprint", _TEXT),
            ("measure", _TEXT),
            ("place", pa.int32()),
            ("value", pa.float64()),
        ]
    ),
    "intents": pa.schema([("product", _TEXT), ("intent", _TEXT), ("goal", _TEXT)]),
}


def load_pack(database: Database, pack: Pack) -> None:
    """Take over what a pack declares and its views, replacing those of an earlier version, all or nothing."""
    with database.transaction():
        for name, table in {"items": item_table(pack), "help_texts": help_table(pack), **declared_tables(pack)}.items():
            database.execute(f"DELETE FROM {name} WHERE product = ?", [pack.product.name])  # noqa: S608 - our own names
            with database.registered(table):
                database.execute(f"INSERT INTO {name} BY NAME FROM incoming")
        for statement in product_views(pack):
            database.execute(statement)


def declared_tables(pack: Pack) -> dict[str, pa.Table]:
    """The rows of the tables that say what a product is, by table."""
    product = pack.product
    slates, events = product.slates.items(), product.events.items()
    rows: dict[str, list[tuple[object, ...]]] = {
        "funnel_steps": [(step, name) for step, name in enumerate(product.funnel)],
        "slate_positions": [(name, k + 1, slate.examination**k) for name, slate in slates for k in range(slate.size)],
        "event_types": [(name, event.item, event.slate, name == product.conversion) for name, event in events],
        "event_properties": [
            (name, key, spec.type, spec.source) for name, event in events for key, spec in event.properties.items()
        ],
        "expectations": [(pack.fingerprint, *row) for row in expectations(pack)],
        "intents": [(name, intent.goal) for name, intent in product.intents.items()],
    }
    return {
        name: pa.Table.from_pylist(
            [dict(zip(schema.names, (product.name, *row), strict=True)) for row in rows[name]], schema=schema
        )
        for name, schema in _DECLARED.items()
    }


def expectations(pack: Pack) -> list[tuple[str, int, float]]:
    """Measure, place and value of what the personas declare together, each weighted by its share of the population:
    the mean number of sessions a week (the mean of a log-normal: median * exp(spread^2 / 2)), and the share of the
    sessions by hour of the week, Monday 00:00 UTC first."""
    if not pack.personas:
        return []
    rates = [
        persona.share * persona.sessions_per_week.median * math.exp(persona.sessions_per_week.spread**2 / 2)
        for persona in pack.personas
    ]
    weeks = [persona.activity.hours() for persona in pack.personas]
    hours = [
        sum(rate * week[hour] / sum(week) for rate, week in zip(rates, weeks, strict=True)) / sum(rates)
        for hour in range(HOURS_OF_WEEK)
    ]
    mean = sum(rates) / sum(persona.share for persona in pack.personas)
    return [("sessions_per_week", 0, mean), *(("hour_of_week", hour, share) for hour, share in enumerate(hours))]


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


def help_table(pack: Pack) -> pa.Table:
    """The rows of `help_texts`; none for a product without support."""
    rows = [
        {
            "product": pack.product.name, "help_id": id_, "title": text.title, "about": list(text.about),
            "text": " ".join(text.text), "hands_over": id_ == pack.help.hand_over,
            "pack_fingerprint": pack.fingerprint,
        }
        for id_, text in pack.help.texts.items()
    ] if pack.help else []  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SCHEMAS["help_texts"])
