"""One open database: the only home of DuckDB. Connects, runs statements and transactions, takes and gives Arrow.

Knows the library and its errors; no table, no batch, no pack. What is kept in it, and how, is `store.py`'s.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from personas.errors import StoreError
from sinks.mishaps import check_place, explain

MEMORY = ":memory:"


class Database:
    """A connection and the name by which people know the place. One thread at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: str) -> None:
        self.path = path
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
        """All or nothing. Whatever goes wrong, the database is as it was before; StoreError where it was DuckDB."""
        try:
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
            yield Database(connection, self.path)

    def size_bytes(self) -> int:
        """Bytes on disk, the write-ahead log included; 0 in memory."""
        return sum(path.stat().st_size for path in (Path(self.path), Path(f"{self.path}.wal")) if path.is_file())

    def close(self) -> None:
        """Close it; twice does nothing. The last checkpoint has all cores: nobody else needs them then."""
        with contextlib.suppress(duckdb.Error):
            self._connection.execute(f"SET threads = {os.cpu_count() or 1}")
        self._connection.close()


def open_file(path: str, *, read_only: bool, memory_limit: str) -> Database:
    """The database in a file of DuckDB's, or in MEMORY; a file that is not there is made unless `read_only`.

    Raises StoreError: missing, locked by another process, not writable, not a DuckDB file.
    """
    if path != MEMORY:
        check_place(Path(path), read_only)
    try:
        connection = duckdb.connect(path, read_only=read_only and path != MEMORY)
    except duckdb.Error as error:
        raise explain(error, path) from error
    try:
        _settle_in(connection, read_only, memory_limit)
    except duckdb.Error as error:
        connection.close()
        raise explain(error, path) from error
    return Database(connection, path)


def _settle_in(connection: duckdb.DuckDBPyConnection, read_only: bool, memory_limit: str) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET checkpoint_threshold = '256MB'")  # fewer, larger rewrites than the default 16MB
    connection.execute(f"SET memory_limit = '{memory_limit}'")
    if not read_only:  # the other cores decode and talk to Kafka; DuckDB's idle workers spin
        connection.execute(f"SET threads = {max(1, (os.cpu_count() or 1) // 2)}")
