"""Between fetches and transactions: small fetches are decoded as they come, and gathered until a batch is due.

What is best for reading is not best for writing, two ways considered. One fetch, one transaction (as it was) needs
large fetches, whose messages have left the processor's caches when they are decoded, and writes tables in pieces that
DuckDB first puts into its log and later, once more, into the table. Chosen: fetches of a few thousand messages, each
decoded at once and forgotten, and transactions of exactly one row group of events, which DuckDB compresses straight
into the table and never touches again. Measured for 1.4 million messages: a third less processor time in DuckDB, a
quarter less in reading.

A batch is due when a table of it is full, or when it has waited long enough while nothing more was waiting to be read.
Knows batches and a clock; no Kafka, no database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sinks.batch import FINAL, Batch, Messages, Partition
from sinks.ingest import Decoder
from sinks.joining import joined

#: Rows of a row group of DuckDB's: a transaction that brings this many, or a multiple, needs no second writing.
ROW_GROUP = 122_880
#: A batch that other messages keep from falling silent is due after so many times `seconds`.
PATIENCE = 5.0


@dataclass(frozen=True)
class Bounds:
    """When a batch is due: at `rows` in any one of its tables (never more), at `bytes`, when a run has ended, or
    `seconds` after its first message; that is put off while fetches of `fetch` messages show that more is waiting."""

    rows: int = ROW_GROUP
    seconds: float = 1.0
    fetch: int = 8192
    bytes: int = 128 * 1024 * 1024


DEFAULT_BOUNDS = Bounds()


class Gatherer:
    """Gathers one batch at a time, in the order of arrival. `clock` gives seconds."""

    def __init__(
        self, decoder: Decoder, bounds: Bounds = DEFAULT_BOUNDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._decoder, self._bounds, self._clock = decoder, bounds, clock
        self._pieces: list[Batch] = []
        self._rows: dict[str, int] = {}
        self._bytes = 0
        self._since = 0.0
        self._busy = False

    def add(self, messages: Iterable[Messages], read: dict[Partition, int]) -> Iterator[Batch]:
        """Decode a fetch, and give every batch that is full with it.

        `read` holds the next offset of each partition: messages below are skipped, and it moves on with what is
        decoded. What comes after a full batch is decoded only when the caller is done with that.
        """
        rest = list(messages)
        self._busy = sum(map(len, rest)) >= self._bounds.fetch
        while rest:
            fitting, rest = self._cut(rest)
            piece = self._decoder.decode_piece(fitting, read)
            read.update(piece.next_offsets)
            if self._keep(piece):
                yield from self.take()

    def _cut(self, messages: list[Messages]) -> tuple[list[Messages], list[Messages]]:
        """What fits into the batch, and what is left: of each topic as many as its table has room for."""
        fitting, rest = [], []
        for given in messages:
            room = self._bounds.rows - self._rows.get(self._decoder.tables[given.topic], 0)
            if len(given) <= room:
                fitting.append(given)
            else:
                fitting.append(given.take(range(room)))
                rest.append(given.take(range(room, len(given))))
        return fitting, rest

    def _keep(self, piece: Batch) -> bool:
        """Put a piece to the batch: whether that is due with it."""
        if not self._pieces:
            self._since = self._clock()
        self._pieces.append(piece)
        for name, table in piece.tables.items():
            self._rows[name] = self._rows.get(name, 0) + table.num_rows
            self._bytes += table.nbytes
        self._bytes += sum(len(letter.value or b"") for letter in piece.dead_letters)
        return (
            max(self._rows.values(), default=0) >= self._bounds.rows
            or self._bytes >= self._bounds.bytes
            or any(manifest.state in FINAL for manifest in piece.manifests)
        )

    def due(self) -> bool:
        """Whether something is gathered that has waited long enough."""
        patience = self._bounds.seconds * (PATIENCE if self._busy else 1.0)
        return bool(self._pieces) and self._clock() - self._since >= patience

    def take(self) -> Iterator[Batch]:
        """The batch so far, where there is one; a new one begins."""
        pieces, self._pieces, self._rows, self._bytes = self._pieces, [], {}, 0
        if pieces:
            yield joined(pieces)
