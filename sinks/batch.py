"""The plain values that travel through the sink: messages in, one batch of rows and dead letters out.

Knows the reasons for which a message is refused and nothing else: no Kafka client, no DuckDB, no decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from personas.letters import Headers

if TYPE_CHECKING:
    import pyarrow

    from personas.provenance import RunManifest

#: A partition of a topic: its name and number.
Partition = tuple[str, int]
#: The next offset to read, by partition.
Positions = Mapping[Partition, int]

NOT_JSON = "not_json"
NOT_UTF8 = "not_utf8"
TOO_LARGE = "too_large"
WRONG_ENVELOPE = "wrong_envelope"
UNKNOWN_EVENT_TYPE = "unknown_event_type"
WRONG_PROPERTY = "wrong_property"
WRONG_PRODUCT = "wrong_product"
REASONS = (NOT_JSON, NOT_UTF8, TOO_LARGE, WRONG_ENVELOPE, UNKNOWN_EVENT_TYPE, WRONG_PROPERTY, WRONG_PRODUCT)

#: States of a run after which nothing more comes of it.
FINAL = frozenset({"completed", "stopped", "failed"})

#: How much of a refused value is kept in the database; its true size is kept beside it.
KEPT_BYTES = 64 * 1024


def covers(positions: Positions, goal: Positions) -> bool:
    """Whether everything before the offsets of `goal` was read."""
    return all(positions.get(place, 0) >= after for place, after in goal.items())


@dataclass(frozen=True)
class Messages:
    """Messages of one topic as they came, column by column, in the order of arrival. `headers` gives those of the
    message at a place: only dead letters need them, so nobody else pays for them."""

    topic: str
    partitions: Sequence[int]
    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Callable[[int], Headers] = field(default=lambda place: (), kw_only=True)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def firsts(self) -> dict[int, int]:
        """The offset of the first message of each partition."""
        return dict(zip(reversed(self.partitions), reversed(self.offsets), strict=True))

    @cached_property
    def lasts(self) -> dict[int, int]:
        """The offset of the last message of each partition."""
        return dict(zip(self.partitions, self.offsets, strict=True))

    def take(self, rows: Sequence[int]) -> Messages:
        """Only the messages at these places, in this order."""
        columns = (self.partitions, self.offsets, self.keys, self.values)
        taken = ([column[row] for row in rows] for column in columns)
        return Messages(self.topic, *taken, headers=lambda place: self.headers(rows[place]))  # type: ignore[arg-type]

    def unseen(self, positions: Positions) -> Messages:
        """Without the messages below `positions`; nothing is copied where there are none."""
        if all(offset >= positions.get((self.topic, partition), 0) for partition, offset in self.firsts.items()):
            return self
        places = zip(self.partitions, self.offsets, strict=True)
        return self.take([row for row, (p, o) in enumerate(places) if o >= positions.get((self.topic, p), 0)])

    def letter(self, row: int, reason: str, detail: str) -> DeadLetter:
        """The dead letter that the message at this place becomes."""
        return DeadLetter(
            self.topic, self.partitions[row], self.offsets[row], reason, detail, self.keys[row], self.values[row],
            self.headers(row),
        )  # fmt: skip


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be decoded: where it was, which of `REASONS`, what exactly, and itself unchanged."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True)
class Batch:
    """Everything that one transaction writes.

    `tables` holds Arrow tables by the name of the database table. `duplicates` counts rows left out because the
    batch itself held them twice. `skipped` counts messages below the positions that were given (they are in the
    database already), `foreign` the manifests of other products. Every message that was given is exactly one of:
    a row, a duplicate, a dead letter, skipped, foreign.
    """

    tables: Mapping[str, pyarrow.Table]
    dead_letters: tuple[DeadLetter, ...]
    next_offsets: Positions
    messages: int
    manifests: tuple[RunManifest, ...] = ()
    duplicates: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    foreign: int = 0

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(table.num_rows for table in self.tables.values())
