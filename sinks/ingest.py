"""From messages to rows: a batch of raw messages becomes one Arrow table per database table, plus dead letters.

Pure: no Kafka, no DuckDB, no clock, no environment. Two ways were weighed. DuckDB can parse the JSON itself (0.4 M
rows/s), but one bad message then fails the whole statement and says little about where. msgspec decodes a whole
topic at about 0.9 microseconds a message and validates as it goes, so that is the fast path: everything or an
exception. Only on an exception is each message examined alone, to name exactly the bad ones; the good ones go through
the fast path again. So bad neighbours cost time, never rows. A faster one still comes before it (see layout.py): it
takes what is alike, and has no say in what is bad.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personas import topics
from personas.event import (
    CONVERSATION,
    DATA_TYPES,
    SESSION,
    SESSION_LABEL,
    USER,
    USER_LABEL,
    ConversationData,
    Envelope,
    SessionData,
    UserData,
)
from personas.provenance import RunManifest
from sinks import batch as b
from sinks.columns import (
    fields,
    manifest_columns,
    of_sessions,
    raw_json,
    sequences,
    table,
    times,
)
from sinks.examine import REFUSALS, Examiner
from sinks.joining import joined
from sinks.layout import Cut, cut, learn
from sinks.vocabulary import LABEL_WORDS, LABELS, Vocabulary, strict_envelope

#: Messages longer than this many bytes are refused unread.
DEFAULT_MAX_BYTES = 1024 * 1024
_ORIGIN = attrgetter("runid", "synthetic", "generator", "generation")


class Decoder:
    """Decodes the topics of one product. Keeps nothing between batches; safe to use from one thread at a time."""

    def __init__(self, vocabulary: Vocabulary, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.vocabulary = vocabulary
        self.max_bytes = max_bytes
        self._examiner = Examiner(vocabulary, max_bytes)
        self._product = pa.scalar(vocabulary.product, pa.string())
        self._one = {name: msgspec.json.Decoder(struct) for name, struct in vocabulary.events.items()}
        self._own = {name: msgspec.json.Decoder(vocabulary.structs[name]) for name in DATA_TYPES}
        self._many: dict[str, msgspec.json.Decoder[list[Any]]] = {
            name: msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]
            for name, struct in vocabulary.structs.items()
        }
        self._envelope: dict[str, msgspec.json.Decoder[Any]] = {
            topic: msgspec.json.Decoder(strict_envelope(None if topic == topics.RUNS else vocabulary.source, types))
            for topic, types in vocabulary.types.items()
        }
        events, sessions, users, labels, conversations, runs = vocabulary.types
        self._build: dict[str, Callable[[b.Messages], pa.Table]] = {
            events: self._events, sessions: self._sessions, users: self._users, labels: self._labels,
            conversations: self._conversations, runs: self._runs,
        }  # fmt: skip
        #: The table that the messages of each topic become rows of.
        self.tables: dict[str, str] = dict(
            zip(self._build, ("events", "sessions", "users", "labels", "conversations", "runs"), strict=True)
        )

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that this decoder understands."""
        return tuple(self._build)

    def decode(self, messages: Iterable[b.Messages], positions: b.Positions | None = None) -> b.Batch:
        """Decode messages of any of `topics`, at most one `Messages` per topic, into a batch of its own.

        Messages below `positions` are skipped: they were decoded before. Never raises on what is in a message.
        """
        return joined([self.decode_piece(messages, positions or {})])

    def decode_piece(self, messages: Iterable[b.Messages], positions: b.Positions) -> b.Batch:
        """Like `decode`, for a piece of a batch: what comes twice is still in it, for `joined` to find."""
        tables: dict[str, pa.Table] = {}
        dead: list[b.DeadLetter] = []
        next_offsets: dict[b.Partition, int] = {}
        manifests: list[RunManifest] = []
        total = skipped = foreign = 0
        for given in messages:
            fresh = given.unseen(positions)
            total += len(given)
            skipped += len(given) - len(fresh)
            if not len(fresh):
                continue
            for partition, offset in fresh.lasts.items():
                next_offsets[fresh.topic, partition] = offset + 1
            rows, refused = self._decode_topic(fresh)
            dead += refused
            name = self.tables[fresh.topic]
            if name == "runs" and rows is not None:
                manifests += map(RunManifest.model_validate_json, rows.column("manifest").to_pylist())
                foreign += len(fresh) - len(refused) - rows.num_rows
            if rows is not None and rows.num_rows:
                tables[name] = rows
        return b.Batch(tables, tuple(dead), next_offsets, total, tuple(manifests), skipped=skipped, foreign=foreign)

    def _decode_topic(self, messages: b.Messages) -> tuple[pa.Table | None, list[b.DeadLetter]]:
        build = self._build[messages.topic]
        try:
            return build(messages), []
        except REFUSALS:
            verdicts = [self._examiner.examine(messages.topic, value) for value in messages.values]
        dead = [messages.letter(row, *verdict) for row, verdict in enumerate(verdicts) if verdict]
        good = messages.take([row for row, verdict in enumerate(verdicts) if verdict is None])
        tables = _halve(build, good, dead) if len(good) else []
        return (pa.concat_tables(tables) if tables else None), dead

    def examine(self, topic: str, value: bytes | None) -> tuple[str, str] | None:
        """Why this one message of `topic` is refused: (reason, detail), or None where it is good."""
        return self._examiner.examine(topic, value)

    def _envelopes(self, messages: b.Messages) -> list[Envelope]:
        """The envelopes of messages of the right product and types, or an exception."""
        if max(map(len, messages.values)) > self.max_bytes:  # type: ignore[arg-type]  # None raises TypeError
            raise ValueError(b.TOO_LARGE)
        return list(map(self._envelope[messages.topic].decode, messages.values))  # type: ignore[arg-type]

    def _origin(self, envelopes: Sequence[Envelope], rows: int) -> dict[str, pa.Array]:
        """Where messages come from; ValueError where that cannot be. One envelope stands for all `rows`, or each has
        its own. It is the same for most of a batch, and then costs no column."""
        origins = list(map(_ORIGIN, envelopes))
        kinds = (pa.string(), pa.bool_(), pa.string(), pa.int32())
        if len(set(origins)) == 1:
            only = zip(origins[0], kinds, strict=True)
            columns = [pa.repeat(pa.scalar(one, kind), rows) for one, kind in only]
        else:
            by_column = zip(*origins, strict=True)
            columns = [pa.array(column, kind) for column, kind in zip(by_column, kinds, strict=True)]
        if pc.min(columns[3]).as_py() < 0:
            raise ValueError(b.WRONG_ENVELOPE)
        named = dict(zip(("run_id", "synthetic", "generator", "generation"), columns, strict=True))
        return named | {"product": pa.repeat(self._product, rows)}

    def _common(self, envelopes: Sequence[Envelope]) -> dict[str, pa.Array]:
        """The columns that come from the envelope alone."""
        return self._origin(envelopes, len(envelopes)) | {
            "user_id": pa.array([envelope.subject for envelope in envelopes], pa.string()),
            "time": times([envelope.time for envelope in envelopes]),
        }

    def _data(self, name: str, raw: Iterable[msgspec.Raw | bytes]) -> list[Any]:
        """The data of many messages of one type, each already known to be one JSON value, in one call."""
        return self._many[name].decode(b"[" + b",".join(raw) + b"]")

    def _alike(self, topic: str, values: Sequence[bytes | None]) -> tuple[Cut, dict[str, pa.Array]]:
        """Messages that have one layout (see layout.py), and the columns that come from their envelope alone; or an
        exception, which says nothing about them. Of their types only the first is known to be one of the topic's."""
        first = self._envelope[topic].decode(values[0] or b"")
        layout = learn(values[0] or b"")
        if layout is None:
            raise ValueError("not one layout")
        found = cut(layout, values, self.max_bytes)
        return found, self._origin([first], len(values)) | {
            "user_id": found.text("subject"), "time": times(found.text("time")),
        }  # fmt: skip

    def _events(self, messages: b.Messages) -> pa.Table:
        try:
            return self._events_alike(messages)
        except (*REFUSALS, LookupError):
            return self._events_each(messages)

    def _events_alike(self, messages: b.Messages) -> pa.Table:
        """The rows of events that have one layout, or an exception, which says nothing about them."""
        rows = len(messages)
        found, common = self._alike(messages.topic, messages.values)
        ids, sessions, properties = found.text("id"), found.text("sessionid"), found.data_text()
        types = pc.dictionary_encode(found.text("type"))
        numbers = types.indices.to_numpy()
        order = np.argsort(numbers, kind="stable")
        lines, ends = found.lines(order)
        items = np.full(rows, None, dtype=object)
        reached = begin = 0
        for name, count in zip(types.dictionary.to_pylist(), np.bincount(numbers).tolist(), strict=True):
            places, end = order[reached : reached + count], int(ends[reached + count - 1])
            data = self._one[name].decode_lines(lines[begin:end])  # a KeyError is a type that is not declared
            if len(data) != count:
                raise ValueError("data that is not one JSON object each")
            if (about := self._items(name, data)) is not None:
                items[places] = about
            reached, begin = reached + count, end
        columns = common | {
            "event_id": ids,
            "session_id": sessions,
            "sequence": found.sequences(),
            "type": types.dictionary.take(types.indices),
            "item_id": pa.array(items, pa.string()),
            "properties": properties,
            "topic_partition": pa.array(messages.partitions, pa.int32()),
            "topic_offset": pa.array(messages.offsets, pa.int64()),
        }
        return table("events", columns, rows)

    def _items(self, name: str, data: Iterable[Any]) -> list[str | None] | None:
        """The item that each event of a type is about; None where events of that type are about none."""
        key = self.vocabulary.item_property
        if not key or key not in self.vocabulary.events[name].__struct_fields__:
            return None
        found = list(map(attrgetter(key), data))
        if set(map(type, found)) <= {str, type(None)}:
            return found
        return [item if item is None else str(item) for item in found]

    def _events_each(self, messages: b.Messages) -> pa.Table:
        """The rows of events of any layout, or an exception where one of them is bad."""
        envelopes = self._envelopes(messages)
        raw = [bytes(envelope.data) for envelope in envelopes]
        places: dict[str, list[int]] = {}
        for place, envelope in enumerate(envelopes):
            places.setdefault(envelope.type, []).append(place)
        items = np.full(len(envelopes), None, dtype=object)
        for name, rows in places.items():
            about = self._items(name, self._data(name, [raw[row] for row in rows]))
            if about is not None:
                items[rows] = about
        number = {name: place for place, name in enumerate(places)}
        types = pa.array(list(number), pa.string())
        ids = pa.array([envelope.id for envelope in envelopes], pa.string())
        sessions = pa.array([envelope.sessionid for envelope in envelopes], pa.string())
        columns = self._common(envelopes) | {
            "event_id": ids,
            "session_id": sessions,
            "sequence": sequences(ids, sessions),
            "type": types.take(pa.array([number[envelope.type] for envelope in envelopes], pa.int32())),
            "item_id": pa.array(items, pa.string()),
            "properties": raw_json(raw),
            "topic_partition": pa.array(messages.partitions, pa.int32()),
            "topic_offset": pa.array(messages.offsets, pa.int64()),
        }
        return table("events", columns, len(envelopes))

    def _of_type(self, messages: b.Messages, kind: str) -> tuple[dict[str, Any], list[Any]]:
        """The columns that come from the envelope, `id` among them, and the data of messages of one type of ours."""
        try:
            return self._of_type_alike(messages.topic, messages.values, kind)
        except (*REFUSALS, LookupError):
            return self._of_type_each(self._envelopes(messages), kind)

    def _of_type_alike(self, topic: str, values: Sequence[bytes | None], kind: str) -> tuple[dict[str, Any], list[Any]]:
        """The same of messages that have one layout, or an exception, which says nothing about them."""
        found, columns = self._alike(topic, values)
        lines, ends = found.lines(np.arange(len(values)))
        data = self._own[kind].decode_lines(lines[: int(ends[-1])])
        if len(data) != len(values) or pc.unique(found.text("type")).to_pylist() != [kind]:
            raise ValueError("data that is not one JSON object each, or of another type")
        sessions = {"session_id": found.text("sessionid")} if "sessionid" in found.fields else {}
        return columns | sessions | {"id": found.text("id")}, data

    def _of_type_each(self, envelopes: Sequence[Envelope], kind: str) -> tuple[dict[str, Any], list[Any]]:
        """The same of messages of any layout, or an exception where one of them is bad."""
        sessions = pa.array([envelope.sessionid for envelope in envelopes], pa.string())
        ids = pa.array([envelope.id for envelope in envelopes], pa.string())
        columns = self._common(envelopes) | {"session_id": sessions, "id": ids}
        return columns, self._data(kind, [envelope.data for envelope in envelopes])

    def _sessions(self, messages: b.Messages) -> pa.Table:
        columns, data = self._of_type(messages, SESSION)
        own = {"session_id": of_sessions(columns), **fields(SessionData, data, {"started", "ended"})}
        return table("sessions", columns | own, len(data))

    def _users(self, messages: b.Messages) -> pa.Table:
        columns, data = self._of_type(messages, USER)
        return table("users", columns | fields(UserData, data, {"signed_up"}), len(data))

    def _labels(self, messages: b.Messages) -> pa.Table:
        try:
            parts = self._labels_alike(messages)
        except (*REFUSALS, LookupError):
            everything = self._envelopes(messages)
            of = {kind: [envelope for envelope in everything if envelope.type == kind] for kind in LABELS}
            parts = {kind: self._of_type_each(envelopes, kind) for kind, envelopes in of.items() if envelopes}
        tables = []
        for kind, (columns, data) in parts.items():
            columns |= {
                "label_id": columns["id"],
                "kind": pa.repeat(pa.scalar(LABEL_WORDS[kind], pa.string()), len(data)),
                "session_id": of_sessions(columns) if kind == SESSION_LABEL else pa.nulls(len(data), pa.string()),
                **fields(LABELS[kind], data, set(), {"traits", "tastes"}, {"problems", "slates"}),
            }
            tables.append(table("labels", columns, len(data)))
        return pa.concat_tables(tables)

    def _labels_alike(self, messages: b.Messages) -> dict[str, tuple[dict[str, Any], list[Any]]]:
        """Labels of both kinds, each kind of one layout, or an exception, which says nothing about them."""
        sign = f'"type":"{SESSION_LABEL}"'.encode()
        of: dict[str, list[bytes | None]] = {kind: [] for kind in LABELS}
        for value in messages.values:
            of[SESSION_LABEL if value is not None and sign in value else USER_LABEL].append(value)
        return {kind: self._of_type_alike(messages.topic, values, kind) for kind, values in of.items() if values}

    def _conversations(self, messages: b.Messages) -> pa.Table:
        columns, data = self._of_type(messages, CONVERSATION)
        own = {
            "conversation_id": columns["id"],
            "session_id": of_sessions(columns),
            **fields(ConversationData, data, {"ended"}, {"parameters", "turns", "audit", "rejected"}),
        }
        return table("conversations", columns | own, len(data))

    def _runs(self, messages: b.Messages) -> pa.Table:
        envelopes = self._envelopes(messages)
        _ = self._common(envelopes)
        manifests = [RunManifest.model_validate_json(bytes(envelope.data)) for envelope in envelopes]
        manifest_columns(manifests)  # raises on numbers out of range, whichever product they are of
        own = [manifest for manifest in manifests if manifest.identity.product == self.vocabulary.product]
        return table("runs", manifest_columns(own), len(own))


def _halve(build: Callable[[b.Messages], pa.Table], messages: b.Messages, dead: list[b.DeadLetter]) -> list[pa.Table]:
    """The net under `examine`: should it pass what `build` refuses, halving finds the message all the same."""
    try:
        return [build(messages)]
    except REFUSALS as error:
        if len(messages) == 1:
            dead.append(messages.letter(0, b.WRONG_ENVELOPE, str(error)[:500]))
            return []
        middle = len(messages) // 2
        left, right = messages.take(range(middle)), messages.take(range(middle, len(messages)))
        return _halve(build, left, dead) + _halve(build, right, dead)
