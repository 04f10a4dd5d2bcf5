"""The slow path of decoding: what is wrong with one message, in a reason and in words.

Asked only when a batch did not decode as a whole (see `ingest`). Must be at least as strict as the fast path: what it
lets pass is decoded again with the good ones. Pure, like all of decoding.
"""

from __future__ import annotations

import re
from datetime import datetime

import msgspec
import pyarrow as pa

from personas import topics
from personas.event import CONVERSATION, GENERATORS, RUN, SESSION, SESSION_LABEL, USER, Envelope
from personas.provenance import RunManifest
from sinks import batch as b
from sinks.columns import manifest_columns
from sinks.vocabulary import Vocabulary

#: Everything that decoding raises on data that it cannot take (ArrowInvalid is a ValueError).
REFUSALS = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EVENT_ID = re.compile(r"(.+)\.(0|[1-9]\d{0,8})", re.ASCII | re.DOTALL)
_INT32 = 2**31
_TIME_FIELDS = {SESSION: ("started", "ended"), USER: ("signed_up",), CONVERSATION: ("ended",)}
_INT_FIELDS = {SESSION: ("number", "events", "items"), CONVERSATION: ("sequence",)}


class Examiner:
    """Examines messages of one product, one at a time. Messages over `max_bytes` are refused unread."""

    def __init__(self, vocabulary: Vocabulary, max_bytes: int) -> None:
        self.vocabulary, self.max_bytes = vocabulary, max_bytes
        self._envelope = msgspec.json.Decoder(Envelope)
        self._one = {name: msgspec.json.Decoder(struct) for name, struct in vocabulary.structs.items()}
        self._types = vocabulary.types

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
        if envelope.generator not in GENERATORS:
            faults.append(f"generator is {envelope.generator!r}, expected one of {', '.join(GENERATORS)}")
        if not 0 <= envelope.generation < _INT32:
            faults.append(f"generation is {envelope.generation}, expected 0 to 2147483647")
        if topic == topics.events_topic(self.vocabulary.product):
            match = _EVENT_ID.fullmatch(envelope.id)
            if not match or match[1] != envelope.sessionid:
                faults.append(f"id is {envelope.id!r}, expected <sessionid>.<sequence>")
        elif envelope.type in (SESSION, SESSION_LABEL, CONVERSATION) and envelope.sessionid is None:
            faults.append("sessionid is missing")
        if faults:
            return b.WRONG_ENVELOPE, "; ".join(faults)[:500]
        if envelope.source != self.vocabulary.source and topic != topics.RUNS:
            return b.WRONG_PRODUCT, f"source is {envelope.source!r}, expected {self.vocabulary.source!r}"[:500]
        if envelope.type not in self._types[topic]:
            return b.UNKNOWN_EVENT_TYPE, f"{envelope.type!r} is not declared for {topic}"[:500]
        return None

    def _examine_data(self, envelope: Envelope) -> tuple[str, str] | None:
        try:
            if envelope.type == RUN:
                manifest = RunManifest.model_validate_json(bytes(envelope.data))
                manifest_columns([manifest])
                return None
            data = self._one[envelope.type].decode(envelope.data)
        except REFUSALS as error:
            return b.WRONG_PROPERTY, str(error)[:500]
        for name in _TIME_FIELDS.get(envelope.type, ()):
            if not _is_time(getattr(data, name)):
                return b.WRONG_PROPERTY, f"{name} is {getattr(data, name)!r}, expected RFC 3339 with a zone"[:500]
        for name in _INT_FIELDS.get(envelope.type, ()):
            if not -_INT32 <= getattr(data, name) < _INT32:
                return b.WRONG_PROPERTY, f"{name} is out of the range of 32 bits"
        return None


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
