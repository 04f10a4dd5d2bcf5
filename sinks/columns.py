"""The Arrow form of each table that the sink fills: one schema per table, and the helpers that build columns.

The names are those of the database (see migrations.py; a test compares the two). Knows no message format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

_TEXT, _TIME = pa.string(), pa.timestamp("us", "UTC")
_ORIGIN = (("synthetic", pa.bool_()), ("generator", _TEXT), ("generation", pa.int32()))

SCHEMAS: dict[str, pa.Schema] = {
    "events": pa.schema(
        [
            ("event_id", _TEXT), ("run_id", _TEXT), ("product", _TEXT), ("session_id", _TEXT),
            ("sequence", pa.int32()), ("user_id", _TEXT), ("time", _TIME), ("type", _TEXT), ("item_id", _TEXT),
            *_ORIGIN, ("properties", _TEXT), ("topic_partition", pa.int32()), ("topic_offset", pa.int64()),
        ]
    ),
    "sessions": pa.schema(
        [
            ("session_id", _TEXT), ("run_id", _TEXT), ("product", _TEXT), ("user_id", _TEXT), ("time", _TIME),
            ("number", pa.int32()), ("started", _TIME), ("ended", _TIME), ("events", pa.int32()),
            ("items", pa.int32()), ("device", _TEXT), ("converted", pa.bool_()), ("value", pa.float64()), *_ORIGIN,
        ]
    ),
    "users": pa.schema(
        [
            ("user_id", _TEXT), ("run_id", _TEXT), ("product", _TEXT), ("time", _TIME), ("signed_up", _TIME),
            ("device", _TEXT), *_ORIGIN,
        ]
    ),
    "labels": pa.schema(
        [
            ("label_id", _TEXT), ("kind", _TEXT), ("run_id", _TEXT), ("product", _TEXT), ("user_id", _TEXT),
            ("session_id", _TEXT), ("time", _TIME), ("persona", _TEXT), ("intent", _TEXT),
            ("intent_reached", pa.bool_()), ("satisfaction", pa.float64()), ("churned", pa.bool_()),
            ("weight", pa.float64()), ("history_weight", pa.float64()), ("problems", _TEXT), ("slates", _TEXT),
            ("traits", _TEXT), ("tastes", _TEXT), ("sessions_per_week", pa.float64()), *_ORIGIN,
        ]
    ),
    "runs": pa.schema(
        [
            ("run_id", _TEXT), ("shard", pa.int32()), ("shards", pa.int32()), ("product", _TEXT), ("state", _TEXT),
            ("users", pa.int64()), ("days", pa.float64()), ("seed", pa.int64()), ("start", _TIME),
            ("virtual_time", _TIME), ("updated", _TIME), ("pack_fingerprint", _TEXT), ("generator", _TEXT),
            ("generation", pa.int32()), ("manifest", _TEXT),
        ]
    ),
    "items": pa.schema(
        [
            ("product", _TEXT), ("item_id", _TEXT), ("title", _TEXT), ("category", _TEXT), ("price", pa.float64()),
            ("quality", pa.float64()), ("launch_day", pa.int32()), ("text", _TEXT), ("pack_fingerprint", _TEXT),
        ]
    ),
    "dead_letters": pa.schema(
        [
            ("cluster_id", _TEXT), ("topic", _TEXT), ("topic_partition", pa.int32()), ("topic_offset", pa.int64()),
            ("reason", _TEXT), ("detail", _TEXT), ("key", pa.binary()), ("value", pa.binary()),
            ("value_bytes", pa.int64()), ("received", _TIME),
        ]
    ),
}  # fmt: skip

#: What makes a row the same row as one stored before.
KEYS: dict[str, tuple[str, ...]] = {
    "events": ("run_id", "event_id"),
    "sessions": ("run_id", "session_id"),
    "labels": ("run_id", "label_id"),
    "users": ("run_id", "user_id"),
    "runs": ("run_id", "shard"),
}


def constant(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column that is expected to hold one value throughout: as cheap as one value where it does."""
    if len(set(values)) == 1:
        return pa.repeat(pa.scalar(values[0], kind), len(values))
    return pa.array(values, kind)


def times(values: Sequence[str]) -> pa.Array:
    """RFC 3339 times with a zone, as UTC with microseconds. ArrowInvalid where one is something else."""
    return pc.cast(pa.array(values, pa.string()), _TIME)


def raw_json(values: Sequence[bytes | msgspec.Raw]) -> pa.Array:
    """JSON texts as strings; ArrowInvalid where one is not UTF-8."""
    return pc.cast(pa.array(list(map(bytes, values)), pa.binary()), pa.string())


def table(name: str, columns: Mapping[str, Any], rows: int) -> pa.Table:
    """A table in its schema; columns that are not given are null."""
    schema = SCHEMAS[name]
    arrays = [columns[field.name] if field.name in columns else pa.nulls(rows, field.type) for field in schema]
    typed = [
        pa.array(array, field.type) if isinstance(array, list) else array
        for array, field in zip(arrays, schema, strict=True)
    ]
    return pa.Table.from_arrays(typed, schema=schema)


def first_of_each(name: str, rows: pa.Table) -> pa.Table:
    """Without the rows whose key came before in the same table; the order stays."""
    keys = [rows.column(key) for key in KEYS[name]]
    if all(pc.count_distinct(key).as_py() == 1 for key in keys[:-1]):
        if pc.count_distinct(keys[-1]).as_py() == rows.num_rows:
            return rows
    seen: dict[tuple[Any, ...], int] = {}
    for place, key in enumerate(zip(*(column.to_pylist() for column in keys), strict=True)):
        seen.setdefault(key, place)
    return rows if len(seen) == rows.num_rows else rows.take(pa.array(seen.values(), pa.int64()))


def latest_of_each(name: str, rows: pa.Table, clock: str) -> pa.Table:
    """Of the rows with the same key only the one with the highest `clock`, the last to arrive among equals."""
    keys = zip(*(rows.column(key).to_pylist() for key in KEYS[name]), strict=True)
    ticks = pc.cast(rows.column(clock), pa.int64()).to_pylist()
    best: dict[tuple[Any, ...], int] = {}
    for place, key in enumerate(keys):
        known = best.get(key)
        if known is None or ticks[place] >= ticks[known]:
            best[key] = place
    return rows if len(best) == rows.num_rows else rows.take(pa.array(sorted(best.values()), pa.int64()))
