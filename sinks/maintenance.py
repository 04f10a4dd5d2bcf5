"""Upkeep of a lake beside running sinks: which snapshots there are, small files into large ones, old snapshots away.

Calls DuckLake's own functions, under their names. What is safe beside sinks, by DuckLake's rules for transactions that
overlap: putting files together never conflicts with adding rows, only with changing them, and a sink that changes one
(a user whose state is new) tries again. The ledger's tables are left alone, because every claim changes them.

Files are not removed at once when nothing needs them any more: a reader that began before may still read them, so they
stay for an hour. Knows DuckLake's functions; no Kafka, no batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from personas.errors import StoreError
from sinks.database import Database
from sinks.lake import LAKE
from sinks.persistence import again

#: Tables whose rows come all the time.
GROWING = ("events", "sessions", "users", "labels", "conversations", "dead_letters")
#: So long a file stays that no snapshot needs any more.
GRACE = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Snapshot:
    """One state of the lake: its number, when it came to be (UTC), and what was done to which table."""

    number: int
    time: datetime
    changes: dict[str, list[str]]


@dataclass(frozen=True)
class Upkeep:
    """What was done: files before and after, snapshots expired, files removed (or, tried only, what would be)."""

    files_before: int = 0
    files_after: int = 0
    snapshots: int = 0
    removed: list[str] = field(default_factory=list)


def snapshots(database: Database, limit: int = 20) -> list[Snapshot]:
    """The newest snapshots, newest first. StoreError where the store is no lake."""
    _needs_lake(database)
    names = {str(number): name for number, name in _table_numbers(database)}
    with database.speaking():
        rows = database.execute(
            "SELECT snapshot_id, epoch_us(snapshot_time), changes FROM ducklake_snapshots(?) "
            "ORDER BY snapshot_id DESC LIMIT ?",
            [LAKE, limit],
        )
    found = []
    for number, time, changes in rows:
        named = {what: [names.get(each, each) for each in tables] for what, tables in changes.items()}
        found.append(Snapshot(number, _EPOCH + timedelta(microseconds=time), named))
    return found


def compact(database: Database, progress: Callable[[str], None] = lambda table: None) -> Upkeep:
    """Write rows that are kept in the catalogue to files, and put small files together (flush_inlined_data and
    merge_adjacent_files), table by table."""
    _needs_lake(database)
    before = _files(database)
    for table in GROWING:
        progress(table)
        for statement in (
            f"FROM ducklake_flush_inlined_data('{LAKE}', table_name => '{table}')",
            f"FROM ducklake_merge_adjacent_files('{LAKE}', '{table}')",
        ):
            _persist(database, statement)
    return Upkeep(before, _files(database))


def expire(
    database: Database, older_than: timedelta, *, dry_run: bool = False, grace: timedelta = GRACE,
    now: datetime | None = None,
) -> Upkeep:  # fmt: skip
    """Forget snapshots (expire_snapshots), and remove files that no snapshot has needed for a while
    (cleanup_old_files). The newest snapshot always stays."""
    _needs_lake(database)
    before, now = _files(database), now or datetime.now(UTC)
    tried = str(dry_run).lower()
    with database.speaking():
        old = database.execute(
            "SELECT snapshot_id FROM ducklake_snapshots(?) WHERE epoch_us(snapshot_time) < ? "
            "AND snapshot_id < (SELECT max(snapshot_id) FROM ducklake_snapshots(?))",
            [LAKE, _microseconds(now - older_than), LAKE],
        )
    if old:
        numbers = ", ".join(str(int(number)) for (number,) in old)
        _persist(
            database,
            "SELECT snapshot_id "  # noqa: S608 - names of ours
            f"FROM ducklake_expire_snapshots('{LAKE}', versions => [{numbers}], dry_run => {tried})",
        )
    # DuckLake compares times in an SQLite catalogue as texts, and takes every time of a day for the same: a day more.
    longer = timedelta(days=1) if grace and database.kind == "sqlite" else timedelta(0)
    removed = _persist(
        database,
        f"FROM ducklake_cleanup_old_files('{LAKE}', older_than => ?::TIMESTAMPTZ, dry_run => {tried})",
        [(now - grace - longer).isoformat()],
    )
    return Upkeep(before, _files(database), len(old), [str(row[0]) for row in removed])


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _persist(database: Database, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    """Run it in a transaction of its own, until nobody gets in its way."""

    def attempt() -> list[tuple[Any, ...]]:
        with database.transaction():
            return database.execute(statement, parameters or [])

    return again(attempt)


def _files(database: Database) -> int:
    """Data files that the newest snapshot needs."""
    with database.speaking():
        return database.count("SELECT CAST(sum(file_count) AS BIGINT) FROM ducklake_table_info(?)", [LAKE])


def _table_numbers(database: Database) -> list[tuple[Any, ...]]:
    with database.speaking():
        return database.execute("SELECT table_id, table_name FROM ducklake_table_info(?)", [LAKE])


def _needs_lake(database: Database) -> None:
    if database.kind == "file":
        raise StoreError(
            f"{database.path}: this is one DuckDB file, which has no snapshots and looks after itself.",
            hint="Give a lake with --store ducklake:...",
        )
