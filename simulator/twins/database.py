"""DuckDB in this room: an engine in memory that reads the files of a core. Its only home here.

Knows the library and its errors; no column and no model. Nothing is ever fetched from the network, and what does not
fit in memory goes into a folder that is gone afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from personas.errors import StoreError
from personas.sql import literal


class Database:
    """An open database in memory; `path` is empty, as there is no file."""

    path = ""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def query(self, sql: str, parameters: list[Any] | None = None) -> pa.Table:
        """The answer as an Arrow table, times in UTC. StoreError on a mistake, or when memory or disk is full."""
        try:
            return self._connection.execute(sql, parameters or []).to_arrow_table()
        except duckdb.Error as error:
            raise StoreError(str(error).partition("\n")[0]) from error

    def value(self, sql: str, parameters: list[Any] | None = None) -> Any:
        """The first value of the answer."""
        return self.query(sql, parameters).column(0)[0].as_py()

    def register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under a name."""
        self._connection.register(name, table)

    def stop(self) -> None:
        """From another thread: end the statement that runs, with an error."""
        self._connection.interrupt()


@contextmanager
def open_memory(memory_limit: str) -> Iterator[Database]:
    """A database in memory of at most `memory_limit` (such as 2GB), while inside."""
    settings = {"TimeZone": "UTC", "memory_limit": memory_limit}
    with (
        tempfile.TemporaryDirectory(prefix="dayone-core-") as spill,
        duckdb.connect(":memory:", config={"autoinstall_known_extensions": False}) as connection,
    ):
        for name, value in {**settings, "temp_directory": spill}.items():
            connection.execute(f"SET {name} = {literal(value)}")
        connection.execute("SET enable_progress_bar = false")
        yield Database(connection)
