"""Opens a store as it is at one moment, so that a training set can be made of it while others go on writing.

    a DuckDB file that nobody writes       itself, read-only; while it is open no sink can start on it
    a lake                                 its newest snapshot, or the one asked for
    a DuckDB file that a sink is writing   a copy, taken from the sink by one statement, which sees one snapshot

For the last, two ways were weighed: the tables one after the other, each of another moment (sessions without their
events, offsets that do not fit), or all in one statement, a row of which belongs to one table. The second is exact; its
price is a temporary file as large as the store, gone when the build is done.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pyarrow as pa
import pyarrow.compute as pc

from personas.sql import identifier, literal
from sinks.attach import Asked, opened
from sinks.place import Place
from sinks.store import Store

log = logging.getLogger("dayone.training")

#: What no training set is made of.
_LEFT_OUT = ("schema_migrations", "dead_letters", "dead_letter_replays")
_TABLE = "copied_table"
_ROWS = 122_880


@contextmanager
def opened_at_one_moment(place: Place, *, memory_limit: str, at: str = "") -> Iterator[Store]:
    """The store, read-only and without change while inside. `at` is a lake's snapshot or a time, empty for the newest.

    Raises StoreError as `Store.open` does; LockedStoreError where a process writes it that serves no readers."""
    with opened(place, at, memory_limit=memory_limit) as store:
        if not isinstance(store, Store):
            with _copied(store, place, memory_limit) as copy:
                yield copy
        elif place.is_lake and not at:
            newest = store.query("SELECT id FROM lake.current_snapshot()").column(0)[0].as_py()
            with Store.open(place, read_only=True, memory_limit=memory_limit, at=str(newest)) as fixed:
                yield fixed
        else:
            yield store


@contextmanager
def _copied(served: Asked, place: Place, memory_limit: str) -> Iterator[Store]:
    """What a running sink has stored, in a database of our own that is gone afterwards."""
    folder = Path(mkdtemp(prefix="dayone-snapshot-"))
    try:
        with Store.open(folder / "snapshot.duckdb", memory_limit=memory_limit) as copy:
            log.info("a sink writes %s: what it has stored is copied first", place.name)
            _copy(served, copy)
            copy.path = place.name
            yield copy
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(served: Asked, copy: Store) -> None:
    theirs = _columns_of(served)
    ours = _columns_of(copy)
    tables = [name for name in theirs if name in ours and name not in _LEFT_OUT]
    parts = [
        f"SELECT {literal(name)} AS {_TABLE}, {', '.join(map(identifier, theirs[name]))} FROM {identifier(name)}"  # noqa: S608
        for name in tables
    ]
    waiting: list[pa.RecordBatch] = []
    for batch in served.reader(" UNION ALL BY NAME ".join(parts), _ROWS):
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= _ROWS:
            _insert(copy, pa.Table.from_batches(waiting), theirs, ours)
            waiting = []
    if waiting:
        _insert(copy, pa.Table.from_batches(waiting), theirs, ours)


def _insert(copy: Store, rows: pa.Table, theirs: dict[str, list[str]], ours: dict[str, list[str]]) -> None:
    for name in pc.unique(rows.column(_TABLE)).to_pylist():
        columns = ", ".join(identifier(column) for column in theirs[name] if column in ours[name])
        with copy.database.speaking(), copy.database.registered(rows):
            copy.database.execute(
                f"INSERT INTO {identifier(name)} ({columns}) SELECT {columns} FROM incoming WHERE {_TABLE} = ?",  # noqa: S608
                [name],
            )


def _columns_of(store: Asked) -> dict[str, list[str]]:
    """The columns of each table."""
    query = (
        "SELECT table_name, list(column_name ORDER BY column_index) AS columns FROM duckdb_columns() "
        "WHERE schema_name = 'main' AND database_name NOT IN ('system', 'temp') AND NOT internal "
        "AND table_name IN (SELECT table_name FROM duckdb_tables()) GROUP BY table_name ORDER BY table_name"
    )
    return {row["table_name"]: row["columns"] for row in store.reader(query).read_all().to_pylist()}
