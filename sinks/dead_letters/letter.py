"""A dead letter as a plain value, and its form on a dead-letter topic: both ways, by the contract in personas/letters.

Pure: no Kafka client, no database, no clock. Two ways of naming a letter were weighed: a number of its own, which
needs a place that hands numbers out, and its origin, which the sink, the topic and the database know without asking
each other. Chosen: the origin, `<topic>/<partition>/<offset>`. The same letter may be on the topic twice (a sink that
was killed reads and refuses again): it is one letter, and the later record counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from personas import letters as contract
from personas.errors import SettingsError
from personas.letters import Headers
from personas.topics import dead_letter_topic
from sinks.batch import KEPT_BYTES, DeadLetter

#: A letter whose parts are together longer than this would not fit on a topic with Kafka's default limits.
LETTER_BYTES = 900 * 1024
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _is_number(text: str) -> bool:
    """Whether a text is a number that Kafka and the database know: a header may have been written by anybody."""
    return text.isascii() and text.isdigit() and len(text) < 19


class Place(NamedTuple):
    """Where a letter comes from, which is also its name."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """`<topic>/<partition>/<offset>` as a place; SettingsError where it is something else."""
        topic, *numbers = text.split("/")
        if topic and len(numbers) == 2 and all(map(_is_number, numbers)):
            return cls(topic, int(numbers[0]), int(numbers[1]))
        raise SettingsError(
            f"LETTER: found {text!r}, expected <topic>/<partition>/<offset>, such as dayone.shop.events/0/12.",
            hint="List the letters with: dayone dlq list --each",
        )


@dataclass(frozen=True)
class Letter:
    """A dead letter. `cut` names what is not whole of it (`value`, `key`, `headers`); `value_bytes` is the true length
    of the value, None where there is none. `replayed` is when it was last sent again."""

    place: Place
    reason: str
    detail: str
    received: datetime | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    group: str = ""
    value_bytes: int | None = None
    cut: tuple[str, ...] = ()
    replayed: datetime | None = None


@dataclass(frozen=True)
class Mark:
    """That the letter of a place was replayed."""

    place: Place
    replayed: datetime


Record = tuple[bytes | None, bytes | None, Headers]


def record_of(letter: DeadLetter, group: str, received: datetime) -> Record:
    """Key, value and headers of a letter on its dead-letter topic; cut where they would not fit."""
    key, value, headers = letter.key, letter.value, letter.headers
    ours = {
        contract.ORIGIN_TOPIC: letter.topic,
        contract.ORIGIN_PARTITION: str(letter.partition),
        contract.ORIGIN_OFFSET: str(letter.offset),
        contract.REASON: letter.reason,
        contract.DETAIL: letter.detail[:500],
        contract.RECEIVED: received.astimezone(UTC).isoformat(),
        contract.CONSUMER_GROUP: group,
    }
    if value is None:
        ours[contract.NO_VALUE] = "true"
    headers_bytes = sum(len(name.encode()) + len(content or b"") for name, content in headers)
    if len(value or b"") + len(key or b"") + headers_bytes > LETTER_BYTES:
        if value is not None and len(value) > KEPT_BYTES:
            ours[contract.TRUNCATED] = str(len(value))
            value = value[:KEPT_BYTES]
        if key is not None and len(key) > KEPT_BYTES:
            ours[contract.TRUNCATED_KEY] = str(len(key))
            key = key[:KEPT_BYTES]
        if headers_bytes > KEPT_BYTES:
            ours[contract.TRUNCATED_HEADERS] = str(len(headers))
            headers = ()
    return key, value, (*headers, *((name, text.encode()) for name, text in ours.items()))


def mark_of(place: Place, replayed: datetime) -> Record:
    """The record that says that a letter was replayed."""
    ours = {
        contract.ORIGIN_TOPIC: place.topic,
        contract.ORIGIN_PARTITION: str(place.partition),
        contract.ORIGIN_OFFSET: str(place.offset),
        contract.REPLAYED: replayed.astimezone(UTC).isoformat(),
    }
    return None, None, tuple((name, text.encode()) for name, text in ours.items())


def letter_of(key: bytes | None, value: bytes | None, headers: Headers) -> Letter | Mark | None:
    """What a record of a dead-letter topic is; None where its headers do not say where it comes from."""
    own, said = contract.split_headers(headers, contract.ORIGIN_TOPIC)
    try:
        place = Place.parse("/".join(said[name] for name in list(contract.LETTER_HEADERS)[:3]))
    except (KeyError, SettingsError):
        return None
    if contract.REPLAYED in said and contract.REASON not in said:
        return Mark(place, _moment(said[contract.REPLAYED]) or datetime.fromtimestamp(0, UTC))
    if contract.NO_VALUE in said:
        value = None
    parts = ((contract.TRUNCATED, "value"), (contract.TRUNCATED_KEY, "key"), (contract.TRUNCATED_HEADERS, "headers"))
    true_bytes = said.get(contract.TRUNCATED, "")
    return Letter(
        place, said.get(contract.REASON, ""), said.get(contract.DETAIL, ""), _moment(said.get(contract.RECEIVED, "")),
        key, value, own, said.get(contract.CONSUMER_GROUP, ""),
        int(true_bytes) if _is_number(true_bytes) else None if value is None else len(value),
        tuple(part for name, part in parts if name in said),
    )  # fmt: skip


def replayed_headers(letter: Letter, *, mended: bool) -> Headers:
    """The headers with which a letter is sent again: its own, and what it is."""
    ours = [(contract.REPLAY_OF, str(letter.place).encode()), *([(contract.MENDED, b"true")] if mended else [])]
    return (*contract.split_headers(letter.headers, contract.REPLAY_OF)[0], *ours)


def gathered(found: Iterable[Letter | Mark]) -> list[Letter]:
    """One letter per place, the later record of each, in the order of the places; with when it was replayed."""
    letters: dict[Place, Letter] = {}
    marks: dict[Place, datetime] = {}
    for each in found:
        if isinstance(each, Mark):
            marks[each.place] = max(each.replayed, marks.get(each.place, each.replayed))
        else:
            letters[each.place] = each
    return [replace(letters[place], replayed=marks.get(place)) for place in sorted(letters)]


@dataclass(frozen=True)
class Wanted:
    """Which letters are asked for; what is None asks for nothing. `topic` is an origin or its dead-letter topic."""

    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None
    places: frozenset[Place] | None = None

    def __call__(self, letter: Letter) -> bool:
        """Whether a letter is one of them. One that does not say when it was received is of any time."""
        topic = letter.place.topic
        return (
            self.topic in (None, topic, dead_letter_topic(topic))
            and self.reason in (None, letter.reason)
            and (self.since is None or letter.received is None or letter.received >= self.since)
            and (self.places is None or letter.place in self.places)
        )


@dataclass
class Group:
    """The letters of one topic and reason: how many, how many of them were replayed, and when they came."""

    topic: str
    reason: str
    letters: int = 0
    replayed: int = 0
    first: datetime | None = None
    last: datetime | None = None


def groups_of(letters: Iterable[Letter]) -> list[Group]:
    """Letters counted by topic and reason, in alphabetical order."""
    groups: dict[tuple[str, str], Group] = {}
    for letter in letters:
        key = (letter.place.topic, letter.reason)
        group = groups.setdefault(key, Group(*key))
        group.letters += 1
        group.replayed += letter.replayed is not None
        if letter.received is not None:
            group.first = min(group.first or letter.received, letter.received)
            group.last = max(group.last or letter.received, letter.received)
    return [groups[key] for key in sorted(groups)]


def moment_of(text: str, now: Callable[[], datetime]) -> datetime:
    """`30m`, `2h` or `7d` ago, or an ISO date or time (UTC unless it says otherwise); SettingsError otherwise."""
    number, unit = text[:-1], text[-1:]
    try:
        if unit in _UNITS and _is_number(number):
            return now() - timedelta(seconds=int(number) * _UNITS[unit])
    except OverflowError:
        pass
    if (moment := _moment(text)) is None:
        raise SettingsError(f"--since: found {text!r}, expected 30m, 2h, 7d, or a time such as 2026-01-31T08:00Z.")
    return moment


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
