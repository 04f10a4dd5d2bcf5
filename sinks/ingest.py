"""From messages to rows: a batch of raw messages becomes one Arrow table per database table, plus dead letters.

Pure: no Kafka, no DuckDB, no clock, no environment. Two ways were weighed. DuckDB can parse the JSON itself (0.4 M
rows/s), but one bad message then fails the whole statement and says little about where. msgspec decodes a whole
topic in a list comprehension at about 0.9 microseconds a message and validates as it goes, so that is the fast
path: everything or an exception. Only on an exception is each message examined alone, to name exactly the bad
ones; the good ones go through the fast path again. So bad neighbours cost time, never rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from personas import topics
from personas.event import (
    DATA_TYPES,
    RUN,
    SESSION,
    SESSION_LABEL,
    USER,
    USER_LABEL,
    Envelope,
    SessionData,
    SessionLabel,
    UserData,
    property_struct,
)
from personas.provenance import RunManifest
from sinks import batch as b
from sinks.columns import constant, first_of_each, latest_of_each, raw_json, table, times

if TYPE_CHECKING:
    from personas.pack import Pack

#: Messages longer than this many bytes are refused unread.
DEFAULT_MAX_BYTES = 1024 * 1024

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EVENT_ID = re.compile(r"(.+)\.(0|[1-9]\d{0,8})", re.ASCII | re.DOTALL)
_INT32 = 2**31
#: Everything that the fast path raises on data that it cannot take (ArrowInvalid is a ValueError).
_REFUSALS = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException)
_TIME_FIELDS = {SESSION: ("started", "ended"), USER: ("signed_up",)}
_INT_FIELDS = {SESSION: ("number", "events", "items")}


@dataclass(frozen=True)
class Vocabulary:
    """What the sink needs to know of a product: its name, the property that holds the item's id (or None), and
    the struct that the data of each event type must decode into."""

    product: str
    item_property: str | None
    events: dict[str, type[msgspec.Struct]]


def vocabulary_of(pack: Pack) -> Vocabulary:
    """The vocabulary that a pack declares."""
    events = {
        name: property_struct(name, {key: (spec.type, spec.required) for key, spec in event.properties.items()})
        for name, event in pack.product.events.items()
    }
    return Vocabulary(pack.product.name, pack.product.item_property, events)


class StoredSessionLabel(SessionLabel, frozen=True):
    """A session label whose long lists stay the JSON text they are: nothing here looks into them."""

    problems: msgspec.Raw  # type: ignore[assignment]
    slates: msgspec.Raw  # type: ignore[assignment]


_LABELS: dict[str, type[msgspec.Struct]] = {SESSION_LABEL: StoredSessionLabel, USER_LABEL: DATA_TYPES[USER_LABEL]}


class Decoder:
    """Decodes the topics of one product. Keeps nothing between batches; safe to use from one thread at a time."""

    def __init__(self, vocabulary: Vocabulary, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.vocabulary = vocabulary
        self.max_bytes = max_bytes
        self._source = f"/dayone/{vocabulary.product}"
        self._envelope = msgspec.json.Decoder(Envelope)
        structs = {**DATA_TYPES, SESSION_LABEL: StoredSessionLabel, **vocabulary.events}
        self._one = {name: msgspec.json.Decoder(struct) for name, struct in structs.items()}
        self._many: dict[str, msgspec.json.Decoder[list[Any]]] = {
            name: msgspec.json.Decoder(list[struct]) for name, struct in structs.items()  # type: ignore[valid-type]
        }
        events, sessions, users, labels, runs = topics.data_topics(vocabulary.product)
        self._build: dict[str, Callable[[b.Messages], pa.Table]] = {
            events: self._events, sessions: self._sessions, users: self._users, labels: self._labels, runs: self._runs,
        }  # fmt: skip
        self._tables = dict(zip(self._build, ("events", "sessions", "users", "labels", "runs"), strict=True))
        self._types: dict[str, frozenset[str]] = {
            events: frozenset(vocabulary.events), sessions: frozenset({SESSION}), users: frozenset({USER}),
            labels: frozenset({SESSION_LABEL, USER_LABEL}), runs: frozenset({RUN}),
        }  # fmt: skip

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that this decoder understands."""
        return tuple(self._build)

    def decode(self, messages: Iterable[b.Messages], positions: b.Positions | None = None) -> b.Batch:
        """Decode messages of any of `topics`, at most one `Messages` per topic.

        Messages below `positions` are skipped: they were decoded before. Never raises on what is in a message.
        """
        tables: dict[str, pa.Table] = {}
        dead: list[b.DeadLetter] = []
        next_offsets: dict[b.Partition, int] = {}
        duplicates: dict[str, int] = {}
        manifests: list[RunManifest] = []
        total = skipped = foreign = 0
        for given in messages:
            fresh = _unseen(given, positions or {})
            total += len(given)
            skipped += len(given) - len(fresh)
            if not len(fresh):
                continue
            for partition, offset in dict(zip(fresh.partitions, fresh.offsets, strict=True)).items():
                next_offsets[fresh.topic, partition] = offset + 1
            rows, refused = self._decode_topic(fresh)
            dead += refused
            name = self._tables[fresh.topic]
            if rows is None:
                continue
            if name == "runs":
                manifests += map(RunManifest.model_validate_json, rows.column("manifest").to_pylist())
                foreign += len(fresh) - len(refused) - rows.num_rows
            once = _without_duplicates(name, rows)
            duplicates[name] = rows.num_rows - once.num_rows
            if once.num_rows:
                tables[name] = once
        return b.Batch(
            tables, tuple(dead), next_offsets, total, tuple(manifests),
            {name: count for name, count in duplicates.items() if count}, skipped, foreign,
        )  # fmt: skip

    def _decode_topic(self, messages: b.Messages) -> tuple[pa.Table | None, list[b.DeadLetter]]:
        build = self._build[messages.topic]
        try:
            return build(messages), []
        except _REFUSALS:
            verdicts = [self.examine(messages.topic, value) for value in messages.values]
        dead = [_letter(messages, row, *verdict) for row, verdict in enumerate(verdicts) if verdict]
        good = messages.take([row for row, verdict in enumerate(verdicts) if verdict is None])
        tables = _halve(build, good, dead) if len(good) else []
        return (pa.concat_tables(tables) if tables else None), dead

    def examine(self, topic: str, value: bytes | None) -> tuple[str, str] | None:
        """Why this one message of `topic` is refused: (reason, detail), or None where it is good."""
        if value is None:
            return b.NOT_JSON, "the message has no value"
        if len(value) > self.max_bytes:
            return b.TOO_LARGE, f"{len(value)} bytes, at most {self.max_bytes} are read"
        try:
            value.decode()
            msgspec.json.decode(value, type=msgspec.Raw)
            envelope = self._envelope.decode(value)
        except UnicodeDecodeError as error:
            return b.NOT_UTF8, str(error)
        except msgspec.ValidationError as error:
            return b.WRONG_ENVELOPE, str(error)
        except (msgspec.DecodeError, RecursionError) as error:
            return b.NOT_JSON, str(error)
        return self._examine_envelope(topic, envelope) or self._examine_data(envelope)

    def _examine_envelope(self, topic: str, envelope: Envelope) -> tuple[str, str] | None:
        faults = []
        if envelope.specversion != "1.0":
            faults.append(f"specversion is {envelope.specversion!r}, expected '1.0'")
        if not _is_time(envelope.time):
            faults.append(f"time is {envelope.time!r}, expected RFC 3339 with a zone")
        if not 0 <= envelope.generation < _INT32:
            faults.append(f"generation is {envelope.generation}, expected 0 to 2147483647")
        if topic == topics.events_topic(self.vocabulary.product):
            match = _EVENT_ID.fullmatch(envelope.id)
            if not match or match[1] != envelope.sessionid:
                faults.append(f"id is {envelope.id!r}, expected <sessionid>.<sequence>")
        elif envelope.type in (SESSION, SESSION_LABEL) and envelope.sessionid is None:
            faults.append("sessionid is missing")
        if faults:
            return b.WRONG_ENVELOPE, "; ".join(faults)[:500]
        if envelope.source != self._source and topic != topics.RUNS:
            return b.WRONG_PRODUCT, f"source is {envelope.source!r}, expected {self._source!r}"[:500]
        if envelope.type not in self._types[topic]:
            return b.UNKNOWN_EVENT_TYPE, f"{envelope.type!r} is not declared for {topic}"[:500]
        return None

    def _examine_data(self, envelope: Envelope) -> tuple[str, str] | None:
        try:
            if envelope.type == RUN:
                manifest = RunManifest.model_validate_json(bytes(envelope.data))
                _manifest_columns([manifest])
                return None
            data = self._one[envelope.type].decode(envelope.data)
        except _REFUSALS as error:
            return b.WRONG_PROPERTY, str(error)[:500]
        for name in _TIME_FIELDS.get(envelope.type, ()):
            if not _is_time(getattr(data, name)):
                return b.WRONG_PROPERTY, f"{name} is {getattr(data, name)!r}, expected RFC 3339 with a zone"[:500]
        for name in _INT_FIELDS.get(envelope.type, ()):
            if not -_INT32 <= getattr(data, name) < _INT32:
                return b.WRONG_PROPERTY, f"{name} is out of the range of 32 bits"
        return None

    def _envelopes(self, messages: b.Messages) -> list[Envelope]:
        """Envelopes of the right product, or an exception."""
        if max(map(len, messages.values)) > self.max_bytes:  # type: ignore[arg-type]  # None raises TypeError
            raise ValueError(b.TOO_LARGE)
        decode = self._envelope.decode
        envelopes = [decode(value) for value in messages.values]  # type: ignore[arg-type]
        if {envelope.specversion for envelope in envelopes} != {"1.0"}:
            raise ValueError(b.WRONG_ENVELOPE)
        if messages.topic != topics.RUNS and {envelope.source for envelope in envelopes} != {self._source}:
            raise ValueError(b.WRONG_PRODUCT)
        return envelopes

    def _common(self, envelopes: Sequence[Envelope]) -> dict[str, pa.Array]:
        """The columns that come from the envelope alone."""
        generation = constant([envelope.generation for envelope in envelopes], pa.int32())
        if pc.min(generation).as_py() < 0:
            raise ValueError(b.WRONG_ENVELOPE)
        return {
            "run_id": constant([envelope.runid for envelope in envelopes], pa.string()),
            "product": pa.repeat(self.vocabulary.product, len(envelopes)),
            "user_id": pa.array([envelope.subject for envelope in envelopes], pa.string()),
            "time": times([envelope.time for envelope in envelopes]),
            "synthetic": constant([envelope.synthetic for envelope in envelopes], pa.bool_()),
            "generator": constant([envelope.generator for envelope in envelopes], pa.string()),
            "generation": generation,
        }

    def _data(self, name: str, raw: Iterable[msgspec.Raw | bytes]) -> list[Any]:
        """The data of many messages of one type, each already known to be one JSON value, in one call."""
        return self._many[name].decode(b"[" + b",".join(raw) + b"]")

    def _events(self, messages: b.Messages) -> pa.Table:
        envelopes = self._envelopes(messages)
        raw = [bytes(envelope.data) for envelope in envelopes]
        places: dict[str, list[int]] = {}
        for place, envelope in enumerate(envelopes):
            places.setdefault(envelope.type, []).append(place)
        items: list[str | None] = [None] * len(envelopes)
        for name, rows in places.items():
            if name not in self._types[messages.topic]:
                raise ValueError(b.UNKNOWN_EVENT_TYPE)
            data = self._data(name, [raw[row] for row in rows])
            key = self.vocabulary.item_property
            if key and key in self.vocabulary.events[name].__struct_fields__:
                for row, properties in zip(rows, data, strict=True):
                    item = getattr(properties, key)
                    items[row] = item if item is None or isinstance(item, str) else str(item)
        ids = pa.array([envelope.id for envelope in envelopes], pa.string())
        sessions = pa.array([envelope.sessionid for envelope in envelopes], pa.string())
        columns = self._common(envelopes) | {
            "event_id": ids,
            "session_id": sessions,
            "sequence": _sequences(ids, sessions),
            "type": pa.array([envelope.type for envelope in envelopes], pa.string()),
            "item_id": pa.array(items, pa.string()),
            "properties": raw_json(raw),
            "topic_partition": pa.array(messages.partitions, pa.int32()),
            "topic_offset": pa.array(messages.offsets, pa.int64()),
        }
        return table("events", columns, len(envelopes))

    def _of_type(self, messages: b.Messages, kind: str) -> tuple[list[Envelope], list[Any]]:
        envelopes = self._envelopes(messages)
        if {envelope.type for envelope in envelopes} != {kind}:
            raise ValueError(b.UNKNOWN_EVENT_TYPE)
        return envelopes, self._data(kind, [envelope.data for envelope in envelopes])

    def _sessions(self, messages: b.Messages) -> pa.Table:
        envelopes, data = self._of_type(messages, SESSION)
        columns = self._common(envelopes) | {"session_id": _session_ids(envelopes)}
        return table("sessions", columns | _fields(SessionData, data, {"started", "ended"}), len(data))

    def _users(self, messages: b.Messages) -> pa.Table:
        envelopes, data = self._of_type(messages, USER)
        return table("users", self._common(envelopes) | _fields(UserData, data, {"signed_up"}), len(data))

    def _labels(self, messages: b.Messages) -> pa.Table:
        everything = self._envelopes(messages)
        if not {envelope.type for envelope in everything} <= self._types[messages.topic]:
            raise ValueError(b.UNKNOWN_EVENT_TYPE)
        tables = []
        for kind, word in ((SESSION_LABEL, "session"), (USER_LABEL, "user")):
            envelopes = [envelope for envelope in everything if envelope.type == kind]
            if not envelopes:
                continue
            data = self._data(kind, [envelope.data for envelope in envelopes])
            columns: dict[str, Any] = self._common(envelopes) | {
                "label_id": [envelope.id for envelope in envelopes],
                "kind": pa.repeat(word, len(data)),
                **_fields(_LABELS[kind], data, set(), {"traits", "tastes"}, {"problems", "slates"}),
            }
            if kind == SESSION_LABEL:
                columns["session_id"] = _session_ids(envelopes)
            tables.append(table("labels", columns, len(data)))
        return pa.concat_tables(tables)

    def _runs(self, messages: b.Messages) -> pa.Table:
        envelopes = self._envelopes(messages)
        if {envelope.type for envelope in envelopes} != {RUN}:
            raise ValueError(b.UNKNOWN_EVENT_TYPE)
        _ = self._common(envelopes)
        manifests = [RunManifest.model_validate_json(bytes(envelope.data)) for envelope in envelopes]
        own = [manifest for manifest in manifests if manifest.identity.product == self.vocabulary.product]
        return table("runs", _manifest_columns(own), len(own))


def _manifest_columns(manifests: Sequence[RunManifest]) -> dict[str, Any]:
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


def _fields(
    struct: type[msgspec.Struct],
    data: Sequence[Any],
    time_fields: Collection[str],
    json_fields: Collection[str] = (),
    raw_fields: Collection[str] = (),
) -> dict[str, Any]:
    """One column per field of the struct. Raw fields are JSON text already."""
    columns: dict[str, Any] = {}
    for name in struct.__struct_fields__:
        values = [getattr(row, name) for row in data]
        if name in time_fields:
            columns[name] = times(values)
        elif name in json_fields:
            columns[name] = raw_json([msgspec.json.encode(value) for value in values])
        elif name in raw_fields:
            columns[name] = raw_json(values)
        else:
            columns[name] = values
    return columns


def _session_ids(envelopes: Sequence[Envelope]) -> pa.Array:
    ids = pa.array([envelope.sessionid for envelope in envelopes], pa.string())
    if ids.null_count:
        raise ValueError(b.WRONG_ENVELOPE)
    return ids


def _sequences(ids: pa.Array, sessions: pa.Array) -> pa.Array:
    """The number after the last dot of each id; ValueError where an id is not `<session>.<sequence>`."""
    sequences = pc.cast(pc.list_element(pc.split_pattern(ids, ".", max_splits=1, reverse=True), 1), pa.int32())
    rebuilt = pc.binary_join_element_wise(sessions, pc.cast(sequences, pa.string()), ".")
    if sessions.null_count or pc.min(sequences).as_py() < 0 or not pc.all(pc.equal(rebuilt, ids)).as_py():
        raise ValueError(b.WRONG_ENVELOPE)
    return sequences


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _unseen(messages: b.Messages, positions: b.Positions) -> b.Messages:
    """Without the messages below `positions`; nothing is copied where there are none."""
    firsts = dict(zip(reversed(messages.partitions), reversed(messages.offsets), strict=True))
    if all(offset >= positions.get((messages.topic, partition), 0) for partition, offset in firsts.items()):
        return messages
    places = zip(messages.partitions, messages.offsets, strict=True)
    return messages.take([row for row, (p, o) in enumerate(places) if o >= positions.get((messages.topic, p), 0)])


def _halve(
    build: Callable[[b.Messages], pa.Table], messages: b.Messages, dead: list[b.DeadLetter]
) -> list[pa.Table]:
    """The net under `examine`: should it pass what `build` refuses, halving finds the message all the same."""
    try:
        return [build(messages)]
    except _REFUSALS as error:
        if len(messages) == 1:
            dead.append(_letter(messages, 0, b.WRONG_ENVELOPE, str(error)[:500]))
            return []
        middle = len(messages) // 2
        left, right = messages.take(range(middle)), messages.take(range(middle, len(messages)))
        return _halve(build, left, dead) + _halve(build, right, dead)


def _letter(messages: b.Messages, row: int, reason: str, detail: str) -> b.DeadLetter:
    places = (messages.partitions[row], messages.offsets[row])
    return b.DeadLetter(messages.topic, *places, reason, detail, messages.keys[row], messages.values[row])


def _without_duplicates(name: str, rows: pa.Table) -> pa.Table:
    if name in ("users", "runs"):
        return latest_of_each(name, rows, "time" if name == "users" else "updated")
    return first_of_each(name, rows)
