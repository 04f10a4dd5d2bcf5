"""The Arrow form of each table that the sink fills: one schema per table, and the helpers that build columns.

The names are those of the database (see migrations.py; a test compares the two). Knows no message format.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personas.letters import Headers
from personas.provenance import RunManifest
from sinks.batch import KEPT_BYTES, DeadLetter

_TEXT, _TIME, _JSON = pa.string(), pa.timestamp("us", "UTC"), pa.json_(pa.string())
_DOT = pa.scalar(".", _TEXT)
#: The columns of `events`, `labels` and `conversations` that hold JSON.
JSON_COLUMNS = (
    "properties", "problems", "slates", "traits", "tastes", "parameters", "turns", "audit", "rejected",
)  # fmt: skip
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
            ("traits", _TEXT), ("tastes", _TEXT), ("sessions_per_week", pa.float64()), *_ORIGIN, ("outcome", _TEXT),
        ]
    ),
    "conversations": pa.schema(
        [
            ("conversation_id", _TEXT), ("run_id", _TEXT), ("product", _TEXT), ("user_id", _TEXT),
            ("session_id", _TEXT), ("sequence", pa.int32()), ("time", _TIME), ("ended", _TIME), ("reason", _TEXT),
            ("language", _TEXT), ("outcome", _TEXT), ("parameters", _TEXT), ("turns", _TEXT), ("audit", _TEXT),
            ("passed", pa.bool_()), ("rejected", _TEXT), *_ORIGIN,
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
    "help_texts": pa.schema(
        [
            ("product", _TEXT), ("help_id", _TEXT), ("title", _TEXT), ("about", pa.list_(_TEXT)), ("text", _TEXT),
            ("hands_over", pa.bool_()), ("pack_fingerprint", _TEXT),
        ]
    ),
    "dead_letters": pa.schema(
        [
            ("cluster_id", _TEXT), ("topic", _TEXT), ("topic_partition", pa.int32()), ("topic_offset", pa.int64()),
            ("reason", _TEXT), ("detail", _TEXT), ("key", pa.binary()), ("value", pa.binary()),
            ("value_bytes", pa.int64()), ("received", _TIME), ("headers", _TEXT),
        ]
    ),
}  # fmt: skip

#: What makes a row the same row as one stored before.
KEYS: dict[str, tuple[str, ...]] = {
    "events": ("run_id", "event_id"),
    "sessions": ("run_id", "session_id"),
    "labels": ("run_id", "label_id"),
    "conversations": ("run_id", "conversation_id"),
    "users": ("run_id", "user_id"),
    "runs": ("run_id", "shard"),
}


def constant(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column that is expected to hold one value throughout: as cheap as one value where it does."""
    if len(set(values)) == 1:
        return pa.repeat(pa.scalar(values[0], kind), len(values))
    return pa.array(values, kind)


def times(values: Sequence[str] | pa.Array) -> pa.Array:
    """RFC 3339 times with a zone, as UTC with microseconds. ArrowInvalid where one is something else."""
    return pc.cast(pa.array(values, pa.string()), _TIME)


def raw_json(values: Sequence[bytes | msgspec.Raw]) -> pa.Array:
    """JSON texts as strings; ArrowInvalid where one is not UTF-8. One buffer is joined and cut by offsets: no object
    per value."""
    offsets = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum(np.fromiter(map(len, values), dtype=np.int32, count=len(values)), out=offsets[1:])
    column = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(values)))
    column.validate(full=True)
    return column


def as_json(rows: pa.Table, names: Collection[str]) -> pa.Table:
    """The same rows with text columns marked as JSON (Arrow's canonical extension type), which DuckDB then takes as
    it is. For text that has been parsed already: DuckDB would parse it once more to make sure."""
    for name in names:
        if (place := rows.schema.get_field_index(name)) >= 0:
            marked = [pa.ExtensionArray.from_storage(_JSON, chunk) for chunk in rows.column(place).chunks]
            rows = rows.set_column(place, name, pa.chunked_array(marked, _JSON))
    return rows


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


def manifest_columns(manifests: Sequence[RunManifest]) -> dict[str, Any]:
    """The columns of `runs` that come from the manifests."""
    flat = ("run_id", "state", "virtual_time", "updated", "days")
    identity = ("product", "users", "seed", "start", "pack_fingerprint", "generator")
    columns: dict[str, Any] = {name: [getattr(manifest, name) for manifest in manifests] for name in flat}
    columns |= {name: [getattr(manifest.identity, name) for manifest in manifests] for name in identity}
    small = {
        "shard": [manifest.shard for manifest in manifests],
        "shards": [manifest.shards for manifest in manifests],
        "generation": [manifest.identity.generation for manifest in manifests],
    }
    wide = {name: pa.array(columns.pop(name), pa.int64()) for name in ("users", "seed")}
    text = {"manifest": [manifest.model_dump_json() for manifest in manifests]}
    return columns | wide | {name: pa.array(values, pa.int32()) for name, values in small.items()} | text


def fields(
    struct: type[msgspec.Struct],
    data: Sequence[Any],
    time_fields: Collection[str],
    json_fields: Collection[str] = (),
    raw_fields: Collection[str] = (),
) -> dict[str, Any]:
    """One column per field of the struct. Raw fields are JSON text already."""
    columns: dict[str, Any] = {}
    for name in struct.__struct_fields__:
        values = list(map(attrgetter(name), data))
        if name in time_fields:
            columns[name] = times(values)
        elif name in json_fields:
            columns[name] = raw_json([msgspec.json.encode(value) for value in values])
        elif name in raw_fields:
            columns[name] = raw_json(values)
        else:
            columns[name] = values
    return columns


def of_sessions(columns: Mapping[str, Any]) -> pa.Array:
    """The session of each message; ValueError where one has none."""
    ids = columns.get("session_id")
    if ids is None or ids.null_count:
        raise ValueError("an id or a session id is not as it should be")
    return ids


def sequences(ids: pa.Array, sessions: pa.Array) -> pa.Array:
    """The number after the last dot of each id; ValueError where an id is not `<session>.<sequence>`."""
    numbers = pc.cast(pc.list_element(pc.split_pattern(ids, ".", max_splits=1, reverse=True), 1), pa.int32())
    rebuilt = pc.binary_join_element_wise(sessions, pc.cast(numbers, pa.string()), _DOT)
    if sessions.null_count or pc.min(numbers).as_py() < 0 or not pc.all(pc.equal(rebuilt, ids)).as_py():
        raise ValueError("an id or a session id is not as it should be")
    return numbers


def headers_as_json(headers: Headers) -> str | None:
    """A record's headers as a JSON list of [name, value], values in base64; null where there are none. Headers that
    take more than KEPT_BYTES are not kept."""
    if not headers or sum(len(name) + len(value or b"") for name, value in headers) > KEPT_BYTES:
        return None
    return msgspec.json.encode(headers).decode()


def dead_letter_table(letters: Sequence[DeadLetter], cluster_id: str, received: datetime) -> pa.Table:
    """The rows of `dead_letters`; keys and values are cut to KEPT_BYTES, beside the true size of the value."""
    columns = {
        "cluster_id": [cluster_id] * len(letters),
        "topic": [letter.topic for letter in letters],
        "topic_partition": [letter.partition for letter in letters],
        "topic_offset": [letter.offset for letter in letters],
        "reason": [letter.reason for letter in letters],
        "detail": [letter.detail for letter in letters],
        "key": [None if letter.key is None else letter.key[:KEPT_BYTES] for letter in letters],
        "value": [None if letter.value is None else letter.value[:KEPT_BYTES] for letter in letters],
        "value_bytes": [None if letter.value is None else len(letter.value) for letter in letters],
        "received": [received] * len(letters),
        "headers": [headers_as_json(letter.headers) for letter in letters],
    }
    return pa.table(columns, schema=SCHEMAS["dead_letters"])
