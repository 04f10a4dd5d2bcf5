"""Opens a lake: DuckLake's catalogue in SQLite or PostgreSQL, rows in Parquet files, many processes at once.

What was found by trying, with DuckLake 1.0 in DuckDB 1.5.5:

- JSON, TIMESTAMPTZ, BLOB, NOT NULL, comments, views and schemas work as in a DuckDB file; primary keys and indexes do
  not exist. Our migrations run unchanged.
- Whatever a transaction reads comes from one snapshot. On PostgreSQL two transactions may overlap: at COMMIT the later
  one looks at what the earlier one did, *by table*. Both inserted: it goes on, only the catalogue is written again.
  One deleted or updated, and the other did anything, in the same table: it fails whole. Two first inserts into an empty
  table do not conflict, so a table that is to keep writers apart needs a row that each of them updates (`ledger.py`).
- On SQLite no two writing transactions may overlap at all: the second fails with "database is locked", whatever it
  wrote, and nothing of it is kept. So writers take turns there (`turns.py`). Without the write-ahead log a mere reader
  would block them too, hence the journal mode.

Knows how to attach and what can go wrong then; no table of ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from personas.errors import StoreError
from personas.sql import identifier, literal
from sinks.database import Database, open_nothing
from sinks.extensions import loading_by_link
from sinks.mishaps import check_place
from sinks.place import Place
from sinks.turns import turn

#: The name under which the lake is attached.
LAKE = "lake"
#: Milliseconds that a catalogue in SQLite is waited for while another process writes a few lines in it.
_BUSY_MS = 10_000
#: How often the size is asked for at most, in seconds: it is a query to the catalogue.
_SIZE_SECONDS = 30.0


def open_lake(place: Place, *, read_only: bool, memory_limit: str, at: str = "") -> Database:
    """The lake at `place`; one that is not there is made unless `read_only`.

    `at` is a snapshot's number or a time (then it is read-only, as it was then). Raises StoreError: extension missing,
    catalogue away or refusing, made by somebody else, no such snapshot.
    """
    read_only = read_only or bool(at)
    if place.kind == "sqlite":
        check_place(Path(place.target), read_only)
    database = open_nothing(place.name, place.kind, read_only=read_only, memory_limit=memory_limit)
    try:
        with database.speaking(), TemporaryDirectory(prefix="dayone-extensions-") as folder:
            for name in (place.kind, "ducklake"):
                database.execute(_loading(name, folder))
            if place.kind == "sqlite" and not read_only:
                database.turns = partial(turn, Path(f"{place.target}.turn"))
            with database.turns():  # the first to come makes the catalogue
                _attach(database, place, read_only=read_only, at=at)
            database.execute(f"USE {LAKE}")
    except StoreError:
        database.close()
        raise
    database.size = _size_of(database, place)
    return database


def _loading(name: str, folder: str) -> str:
    try:
        return loading_by_link(name, folder)
    except StoreError as error:
        hint = f"pip install 'dayone[lake]', or: {error.hint}"
        raise StoreError(f"{error.message} A lake needs it.", hint=hint) from None


def _attach(database: Database, place: Place, *, read_only: bool, at: str) -> None:
    options = ["CREATE_IF_NOT_EXISTS false"] if read_only else []
    target = place.target
    if place.kind == "sqlite":
        options += ["META_JOURNAL_MODE 'WAL'", f"META_BUSY_TIMEOUT {_BUSY_MS}"]
        target = str(Path(target).absolute())
    elif place.password:
        database.execute(f"CREATE SECRET catalogue (TYPE postgres, PASSWORD {literal(place.password)})")
        options.append("META_SECRET catalogue")
    if place.data_path and not (place.kind == "sqlite" and Path(target).exists()):
        options.append(f"DATA_PATH {literal(_absolute(place.data_path))}")
    if read_only:
        options.append("READ_ONLY")
    if at:
        word = "SNAPSHOT_VERSION" if at.isdigit() else "SNAPSHOT_TIME"
        options.append(f"{word} {at if at.isdigit() else literal(at)}")
    # Between transactions that only add rows, the catalogue is written again after this pause, up to two seconds.
    database.execute("SET ducklake_retry_wait_ms = 10")
    database.execute("SET ducklake_retry_backoff = 1.2")
    database.execute("SET ducklake_max_retry_count = 20")
    chosen = f" ({', '.join(options)})" if options else ""
    address = literal(f"ducklake:{place.kind}:{target}")
    database.execute(f"ATTACH {address} AS {identifier(LAKE)}{chosen}")


def _absolute(path: str) -> str:
    """A folder of this machine without regard to where we are; an address (s3://...) as it is."""
    return path if "://" in path else str(Path(path).absolute())


def _size_of(database: Database, place: Place) -> Callable[[], int]:
    """Bytes of the data files that the newest snapshot needs, and of an SQLite catalogue; asked now and then."""
    known: list[Any] = [float("-inf"), 0]

    def size() -> int:
        if time.monotonic() - known[0] > _SIZE_SECONDS:
            found = database.execute(
                "SELECT sum(file_size_bytes + delete_file_size_bytes) FROM ducklake_table_info(?)", [LAKE]
            )
            catalogue = Path(place.target)
            files = (catalogue, Path(f"{catalogue}-wal")) if place.kind == "sqlite" else ()
            total = int(found[0][0] or 0) + sum(file.stat().st_size for file in files if file.is_file())
            known[:] = [time.monotonic(), total]
        return int(known[1])

    return size
