"""One open database: the only home of DuckDB. Connects, runs statements and transactions, takes and gives Arrow.

Knows the library and its errors; no table, no batch, no pack. What is kept in it, and how, is `store.py`'s; how a lake
is attached is `lake.py`'s.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from personas.errors import StoreError
from sinks.mishaps import check_place, explain
from sinks.place import MEMORY, Kind


class Database:
    """A connection and the name by which people know the place. One thread at a time.

    `turns` holds back a transaction until no other process has one under way, where they cannot overlap; `size` tells
    the bytes that are taken, where that is not the size of a file.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: str, kind: Kind = "file") -> None:
        self.path, self.kind = path, kind
        self.turns: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
        self.size: Callable[[], int] = lambda: file_bytes(path)
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement (or a script without parameters) and give the rows of its answer.

        The library's own errors come out as they are; `transaction` and `speaking` turn them into StoreError.
        """
        return self._connection.execute(statement, list(parameters)).fetchall()

    def count(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """The one number that a statement answers with: of an INSERT, UPDATE or DELETE the rows that it touched."""
        rows = self.execute(statement, parameters)
        return int(rows[0][0]) if rows else 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Whatever goes wrong, the database is as it was before; StoreError where it was DuckDB, and of
        these Conflict where another process wrote the same at the same time."""
        try:
            with self.turns():
                self._connection.execute("BEGIN TRANSACTION")
                yield
                self._connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(duckdb.Error):
                self._connection.execute("ROLLBACK")
            if isinstance(error, duckdb.Error):
                raise explain(error, self.path) from error
            raise

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """StoreError, in words for people, for the library's errors inside."""
        try:
            yield
        except duckdb.Error as error:
            raise explain(error, self.path) from error

    @contextlib.contextmanager
    def registered(self, table: pa.Table) -> Iterator[None]:
        """Make an Arrow table readable as `incoming`."""
        self._connection.register("incoming", table)
        try:
            yield
        finally:
            self._connection.unregister("incoming")

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The answer to any SQL as an Arrow table (times in UTC). StoreError on a mistake in it."""
        try:
            return self._connection.execute(sql, list(parameters)).to_arrow_table()
        except duckdb.Error as error:
            raise StoreError(f"The query cannot be answered: {error}") from error

    def reader(self, sql: str, batch_rows: int, parameters: Sequence[Any] = ()) -> pa.RecordBatchReader:
        """Like `query`, batch by batch, so that a large answer need not fit in memory."""
        try:
            return self._connection.execute(sql, list(parameters)).to_arrow_reader(batch_rows)
        except duckdb.Error as error:
            raise StoreError(f"The query cannot be answered: {error}") from error

    @contextlib.contextmanager
    def beside(self) -> Iterator[Database]:
        """Another connection to the same database, for another thread, while inside."""
        with self._connection.cursor() as connection:
            yield Database(connection, self.path, self.kind)

    def size_bytes(self) -> int:
        """Bytes on disk, the write-ahead log or the catalogue included; 0 in memory."""
        return self.size()

    def take_all_cores(self) -> None:
        """From now on, where there is one file: nobody else needs them any more."""
        if self.kind == "file":
            with contextlib.suppress(duckdb.Error):
                self._connection.execute(f"SET threads = {os.cpu_count() or 1}")

    def close(self) -> None:
        """Close it; twice does nothing. The last checkpoint has all cores."""
        self.take_all_cores()
        self._connection.close()


def open_file(path: str, *, read_only: bool, memory_limit: str) -> Database:
    """The database in a file of DuckDB's, or in MEMORY; a file that is not there is made unless `read_only`.

    Raises StoreError: missing, locked by another process, not writable, not a DuckDB file.
    """
    if path != MEMORY:
        check_place(Path(path), read_only)
    return _connect(path, path, "file", read_only, memory_limit)


def open_nothing(name: str, kind: Kind, *, read_only: bool, memory_limit: str) -> Database:
    """A database in memory, for a lake to be attached to, which people know by `name`."""
    return _connect(MEMORY, name, kind, read_only, memory_limit)


def _connect(path: str, name: str, kind: Kind, read_only: bool, memory_limit: str) -> Database:
    """A connection with our settings. No extension is ever fetched from the network."""
    offline: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}
    try:
        connection = duckdb.connect(path, read_only=read_only and path != MEMORY, config=offline)
    except duckdb.Error as error:
        raise explain(error, name) from error
    try:
        _settle_in(connection, read_only, memory_limit)
    except duckdb.Error as error:
        connection.close()
        raise explain(error, name) from error
    return Database(connection, name, kind)


def file_bytes(path: str) -> int:
    """Bytes of a file and its write-ahead log; 0 where there is none."""
    return sum(each.stat().st_size for each in (Path(path), Path(f"{path}.wal")) if each.is_file())


def _settle_in(connection: duckdb.DuckDBPyConnection, read_only: bool, memory_limit: str) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    # Fewer, larger rewrites than the default 16MB: at 64MB, a third more processor time. Rows that wait for one and do
    # not fit into the limit go to a temporary file.
    connection.execute("SET checkpoint_threshold = '256MB'")
    # Whatever is allowed is filled in time, with blocks that were written and that nobody has asked for again.
    connection.execute(f"SET memory_limit = '{memory_limit}'")
    if not read_only:  # the other cores decode and talk to Kafka; DuckDB's idle workers spin
        connection.execute(f"SET threads = {max(1, (os.cpu_count() or 1) // 2)}")
