"""The store: opened and brought up to date, it commits batches exactly once and answers SQL.

Knows tables, batches and the order of a commit; no Kafka client, no message format, and DuckDB only through
`database.py`. How rows are written is `rows.py`'s, what a pack brings `products.py`'s.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from personas.errors import StoreError
from sinks import products, rows
from sinks.batch import Batch, Partition, Positions
from sinks.database import MEMORY, Database, open_file
from sinks.horizon import Horizon
from sinks.migrations import MIGRATIONS
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
    """One open database. One thread at a time; writers hold the file alone. Use `Store.open`, and close it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.path = database.path
        self._ingest = (uuid.uuid4().hex, datetime.now(UTC))
        self._totals = [0, 0]
        self._cluster_id = ""
        self._horizon = Horizon(self._stored_until)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        read_only: bool = False,
        memory_limit: str = "1GB",
        migrations: Migrations = MIGRATIONS,
    ) -> Store:
        """Open (and, unless `read_only`, create or bring up to date) the database at `path`, or MEMORY.

        Raises StoreError: missing, locked, not writable, not a DuckDB file, of a newer schema (then unchanged).
        """
        database = open_file(str(path), read_only=read_only, memory_limit=memory_limit)
        try:
            upgrade(database, migrations, read_only=read_only)
        except StoreError:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close the file; twice does nothing."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def positions(self, cluster_id: str) -> dict[Partition, int]:
        """Where to read on, by partition, on this Kafka cluster."""
        found = self.database.execute(
            "SELECT topic, partition, next_offset FROM offsets WHERE cluster_id = ?", [cluster_id]
        )
        return {(topic, partition): offset for topic, partition, offset in found}

    def run_states(self, cluster_id: str) -> dict[str, tuple[int, dict[int, str]]]:
        """Of each run read from this cluster: its number of shards and the state of each shard that was seen."""
        states: dict[str, tuple[int, dict[int, str]]] = {}
        for run_id, shard, shards, state in self.database.execute(
            "SELECT run_id, shard, shards, state FROM runs WHERE cluster_id = ? ORDER BY ALL", [cluster_id]
        ):
            states.setdefault(run_id, (shards, {}))[1][shard] = state
        return states

    def commit(self, batch: Batch, cluster_id: str) -> Committed:
        """Keep a batch, exactly once. StoreError where it cannot be kept; then nothing of it was.

        1. Begin a transaction.
        2. Write the rows of all tables that are not there yet, and the dead letters.
        3. Write the next offset of each partition of the batch.
        4. COMMIT: rows and offsets are on disk together or not at all.

        Only when this has returned may the batch be acknowledged to Kafka. If the process dies before step 4, the
        batch is read and written again; after it, reading goes on behind it, acknowledged or not.
        """
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
            self._write_offsets(batch.next_offsets, cluster_id)
            self._write_ingest(batch.messages, added.get("events", 0), cluster_id)
        self._horizon.stored(spans)
        return Committed(added, duplicates)

    def _stored_until(self, run_id: str) -> datetime | None:
        found = self.database.execute("SELECT epoch_us(max(time)) FROM events WHERE run_id = ?", [run_id])
        return _EPOCH + timedelta(microseconds=found[0][0]) if found and found[0][0] is not None else None

    def _write_offsets(self, offsets: Positions, cluster_id: str) -> None:
        rows.write_offsets(self.database, offsets, cluster_id)

    def _write_ingest(self, messages: int, events: int, cluster_id: str) -> None:
        ingest_id, started = self._ingest
        if not self._totals[0]:
            self.database.execute("DELETE FROM ingests WHERE ingest_id = ?", [ingest_id])
            self.database.execute(
                "INSERT INTO ingests VALUES (?, ?, ?, now(), 0, 0)", [ingest_id, cluster_id, started.isoformat()]
            )
        self.database.execute(
            "UPDATE ingests SET updated = now(), messages = messages + ?, events = events + ? WHERE ingest_id = ?",
            [messages, events, ingest_id],
        )
        self._totals[0] += messages

    def begin_ingest(self) -> None:
        """Start counting a new row of `ingests` now, when the first messages come in."""
        self._ingest = (uuid.uuid4().hex, datetime.now(UTC))
        self._totals = [0, 0]

    def load_pack(self, pack: Pack) -> None:
        """Take over a pack's catalogue, funnel and event views, replacing those of an earlier version."""
        products.load_pack(self.database, pack)

    def query(self, sql: str, parameters: list[Any] | None = None) -> pa.Table:
        """The answer to any SQL as an Arrow table (times in UTC). StoreError on a mistake in it."""
        return self.database.query(sql, parameters or [])

    def reader(self, sql: str, batch_rows: int = 10_000) -> pa.RecordBatchReader:
        """Like `query`, batch by batch, so that a large answer need not fit in memory."""
        return self.database.reader(sql, batch_rows)

    def size_bytes(self) -> int:
        """Bytes on disk, the write-ahead log included; 0 in memory."""
        return self.database.size_bytes()
