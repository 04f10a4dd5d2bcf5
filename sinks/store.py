"""The store: opened and brought up to date, it commits batches exactly once and answers SQL.

A DuckDB file or a lake (`place.py`): the same tables, the same promises. Knows batches and the order of a commit; no
Kafka client, no message format, and DuckDB only through `database.py`. How rows are written is `rows.py`'s, where to
read on `ledger.py`'s, what a pack brings `products.py`'s.

What happens when several sinks commit to a lake at once, two ways considered. Locks per partition, held by each sink
while it commits: a sink that is stopped holds them for ever, one whose lock was taken away commits all the same.
Chosen: optimistic transactions. Who loses drops everything and tries again after a pause, and each attempt looks
whether the partitions are still this sink's: one that lost them finds out there.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from personas.errors import StoreError
from sinks import audit_log, audit_spool, products, rows
from sinks.batch import FINAL, Batch, Partition
from sinks.database import Database, open_file
from sinks.horizon import Horizon
from sinks.lake import open_lake
from sinks.ledger import Claim, ledger_of
from sinks.migrations import LAKE_MIGRATIONS, MIGRATIONS
from sinks.persistence import again
from sinks.place import MEMORY, Place, place_of
from sinks.upgrade import Migrations, upgrade

if TYPE_CHECKING:
    from personas.pack import Pack

__all__ = ["MEMORY", "Committed", "Store"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Committed:
    """What one transaction did: rows added by table, and rows left out because they were there already."""

    rows: Mapping[str, int]
    duplicates: Mapping[str, int]


class Store:
    """One open database. One thread at a time; a writer holds a file alone, a lake has many writers. Use `Store.open`,
    and close it. `conflicts` counts the transactions that were tried again."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.path = database.path
        self._ingest = (uuid.uuid4().hex, datetime.now(UTC))
        self.conflicts = 0
        self._cluster_id = ""
        self._noted: set[tuple[str, object]] = set()
        self._ledger = ledger_of(database)
        self._horizon = Horizon(self._stored_until)

    @classmethod
    def open(
        cls,
        place: str | Path | Place,
        *,
        read_only: bool = False,
        memory_limit: str = "1GB",
        migrations: Migrations | None = None,
        at: str = "",
    ) -> Store:
        """Open (and, unless `read_only`, create or bring up to date) the database at `place`, or MEMORY.

        `at`, a lake's snapshot number or a time, opens it as it was then, read-only.
        Raises StoreError: missing, locked, not writable, not a database of ours, of a newer schema (then unchanged).
        """
        place = place if isinstance(place, Place) else place_of(place)
        if at and not place.is_lake:
            raise StoreError(
                f"{place.name}: only a lake remembers what it was; this is one DuckDB file.",
                hint="Give --store ducklake:sqlite:FILE, or leave the time out.",
            )
        read_only = read_only or bool(at)
        known = migrations or (LAKE_MIGRATIONS if place.is_lake else MIGRATIONS)

        def attempt() -> Database:
            if place.is_lake:
                database = open_lake(place, read_only=read_only, memory_limit=memory_limit, at=at)
            else:
                database = open_file(place.target, read_only=read_only, memory_limit=memory_limit)
            try:
                upgrade(database, known, read_only=read_only, as_it_was=bool(at))
                if not read_only:
                    audit_spool.take_in(database, place)
            except StoreError:
                database.close()
                raise
            return database

        return cls(again(attempt))

    def close(self) -> None:
        """Close the file; twice does nothing."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def positions(self, cluster_id: str) -> dict[Partition, int]:
        """Where to read on, by partition, on this Kafka cluster."""
        with self.database.speaking():
            return self._ledger.positions(cluster_id)

    def run_states(self, cluster_id: str) -> dict[str, tuple[int, dict[int, str]]]:
        """Of each run read from this cluster: its number of shards and the state of each shard that was seen."""
        states: dict[str, tuple[int, dict[int, str]]] = {}
        for run_id, shard, shards, state in self.database.execute(
            "SELECT run_id, shard, shards, state FROM runs WHERE cluster_id = ? ORDER BY ALL", [cluster_id]
        ):
            states.setdefault(run_id, (shards, {}))[1][shard] = state
        return states

    def run_updates(self, cluster_id: str) -> dict[str, str]:
        """Of each run read from this cluster: when its last manifest was written."""
        statement = "SELECT run_id, CAST(max(updated) AS VARCHAR) FROM runs WHERE cluster_id = ? GROUP BY run_id"
        return dict(self.database.execute(statement, [cluster_id]))

    def claim(self, places: Collection[Partition], cluster_id: str) -> dict[Partition, int]:
        """Make these partitions ours to write, and nobody else's from now on: where to read them on, where they have a
        position. Of a DuckDB file, all are."""

        def attempt() -> Claim:
            with self.database.transaction():
                return self._ledger.claim(places, cluster_id)

        self._cluster_id = ""  # others may have written since: look anew how far each run has come
        claim = again(attempt, self._note_conflict)
        self._ledger.hold(claim)
        return dict(claim.positions)

    def commit(self, batch: Batch, cluster_id: str) -> Committed:
        """Keep a batch, exactly once. StoreError where it cannot be kept; then nothing of it was.

        1. Begin a transaction.
        2. Write the rows of all tables that are not there yet, the dead letters, and into the audit log each run that
           is new or has ended.
        3. Write the next offset of each partition of the batch. Fenced where another sink has claimed one of them
           since this one did.
        4. COMMIT: rows and offsets are on disk together or not at all.

        In a lake, a transaction that another one got in the way of is tried again from the start. Partitions that
        were never claimed are claimed first.
        Only when this has returned may the batch be acknowledged to Kafka. If the process dies before step 4, the
        batch is read and written again; after it, reading goes on behind it, acknowledged or not.
        """
        if not self._ledger.claimed(batch.next_offsets, cluster_id):
            self.claim(batch.next_offsets, cluster_id)
        return again(lambda: self._commit(batch, cluster_id), self._note_conflict)

    def _note_conflict(self) -> None:
        self.conflicts += 1

    def _commit(self, batch: Batch, cluster_id: str) -> Committed:
        added: dict[str, int] = {}
        duplicates: dict[str, int] = dict(batch.duplicates)
        if cluster_id != self._cluster_id:  # another cluster may have its keys on other partitions
            self._cluster_id, self._horizon = cluster_id, Horizon(self._stored_until)
        spans = self._horizon.spans(batch.tables["events"]) if "events" in batch.tables else {}
        later = self._horizon.beyond(spans)
        with self.database.transaction():
            for name, table in batch.tables.items():
                if name == "runs":
                    table = table.append_column("cluster_id", pa.repeat(cluster_id, table.num_rows))  # noqa: PLW2901
                added[name], known = rows.write(self.database, name, table, all_new=name == "events" and later)
                if known:
                    duplicates[name] = duplicates.get(name, 0) + known
            if batch.dead_letters:
                received = datetime.now(UTC)
                added["dead_letters"] = rows.write_dead_letters(self.database, batch.dead_letters, cluster_id, received)
            seen = {(each.key, each.updated if each.state in FINAL else each.state) for each in batch.manifests}
            if seen - self._noted:
                audit_log.note_runs(self.database)
            self._write_ledger(batch, added.get("events", 0), cluster_id)
        self._noted |= seen
        self._horizon.stored(spans)
        return Committed(added, duplicates)

    def _stored_until(self, run_id: str) -> datetime | None:
        found = self.database.execute("SELECT epoch_us(max(time)) FROM events WHERE run_id = ?", [run_id])
        return _EPOCH + timedelta(microseconds=found[0][0]) if found and found[0][0] is not None else None

    def _write_ledger(self, batch: Batch, events: int, cluster_id: str) -> None:
        self._ledger.write(batch.next_offsets, self._ingest, cluster_id, batch.messages, events)

    def note(self, notes: Sequence[audit_log.Note]) -> None:
        """Add notes to the audit log, in a transaction of their own."""

        def attempt() -> None:
            with self.database.transaction():
                audit_log.append(self.database, notes)

        again(attempt, self._note_conflict)

    def begin_ingest(self) -> None:
        """Start counting a new row of `ingests` now, when the first messages come in."""
        self._ingest = (uuid.uuid4().hex, datetime.now(UTC))

    def load_pack(self, pack: Pack) -> None:
        """Take over a pack's catalogue, funnel and event views, replacing those of an earlier version.

        StoreError where the file is named like the product: DuckDB names a database by its file, and `shop.events`
        would then be two things."""
        product = pack.product.name
        if self.database.kind == "file" and Path(self.path).stem.lower() == product.lower():
            raise StoreError(
                f"{self.path}: a database file may not be named like its product, {product}: "
                f"SQL could not tell the file from the schema of the same name.",
                hint=f"Give it another name, e.g. --store {product}-events.duckdb.",
            )
        again(lambda: products.load_pack(self.database, pack), self._note_conflict)

    def query(self, sql: str, parameters: list[Any] | None = None) -> pa.Table:
        """The answer to any SQL as an Arrow table (times in UTC). StoreError on a mistake in it."""
        return self.database.query(sql, parameters or [])

    def reader(self, sql: str, batch_rows: int = 10_000) -> pa.RecordBatchReader:
        """Like `query`, batch by batch, so that a large answer need not fit in memory."""
        return self.database.reader(sql, batch_rows)

    def size_bytes(self) -> int:
        """Bytes on disk, the write-ahead log or the catalogue included; 0 in memory."""
        return self.database.size_bytes()
