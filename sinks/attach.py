"""The reader's side: opens a store to be asked, through the sink that is writing it or, where none runs, the file.

Knows notices, and DuckDB as a client; `Asked` is all that a reader of either kind needs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import pyarrow as pa

from personas.errors import LockedStoreError, StoreError
from sinks.database import Database, open_file
from sinks.extensions import loading
from sinks.notice import READER_EXTENSIONS, Notice, find
from sinks.place import MEMORY, Place
from sinks.store import Store

#: So long a store may be locked without a notice: a sink has just begun, or is just ending.
PATIENCE_SECONDS = 3.0
#: Rows that come at a time.
BATCH_ROWS = 10_000


class Asked(Protocol):
    """What can be asked: the answer to one statement, batch by batch. StoreError on a mistake in it."""

    def reader(self, sql: str, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader: ...


class ServedStore:
    """The store of a running sink, which answers each statement from one snapshot. It cannot be changed."""

    def __init__(self, database: Database, notice: Notice) -> None:
        self._database, self._notice = database, notice

    @classmethod
    def connect(cls, notice: Notice) -> ServedStore:
        """Ready to ask. StoreError where an extension is missing; whether the sink answers shows at the first query."""
        database = open_file(MEMORY, read_only=True, memory_limit="1GB")
        try:
            with database.speaking():
                for name in READER_EXTENSIONS:
                    database.execute(loading(name))
        except StoreError:
            database.close()
            raise
        return cls(database, notice)

    def reader(self, sql: str, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The answer to one statement, batch by batch."""
        asking = [self._notice.uri, sql, self._notice.token]
        try:
            return self._database.reader("FROM quack_query(?, ?, token := ?)", batch_rows, asking)
        except StoreError as error:
            raise self._explained(error) from None

    def answers(self) -> bool:
        """Whether the sink is still there."""
        try:
            self.reader("SELECT 1").read_all()
        except StoreError:
            return False
        return True

    def _explained(self, error: StoreError) -> StoreError:
        text = error.message.partition("\n\nLINE ")[0].replace(self._notice.token, "***")
        if "Authorization failed" in text:
            return StoreError(
                "The query cannot be answered: readers may only ask, the sink alone writes (the store is read-only)."
            )
        if "Could not connect" in text or "Failed to send message" in text:
            return StoreError(
                f"The sink (process {self._notice.pid}) answers no more on {self._notice.address}.",
                hint="If it has ended, ask again: the file is opened then.",
            )
        return StoreError(text)

    def close(self) -> None:
        """End the session; twice does nothing."""
        self._database.close()


@contextmanager
def opened(place: Place, at: str = "", *, memory_limit: str = "1GB") -> Iterator[Store | ServedStore]:
    """The store at `place` to be asked: through the sink that writes it now, or else the file, read-only. A lake has
    many readers by itself, and can be asked as it was `at` a snapshot (its number) or a time.

    Raises StoreError as `Store.open` does; LockedStoreError where a process writes it that serves no readers.
    """
    store: Store | ServedStore
    if place.is_lake or at:
        store = Store.open(place, read_only=True, memory_limit=memory_limit, at=at)
    else:
        store = _open(place.target, memory_limit)
    try:
        yield store
    finally:
        store.close()


def _open(path: str, memory_limit: str) -> Store | ServedStore:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        if (notice := find(path)) is not None:
            served = ServedStore.connect(notice)
            if served.answers():
                return served
            served.close()
        try:
            return Store.open(path, read_only=True, memory_limit=memory_limit)
        except LockedStoreError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.1)
