"""The database: the only home of DuckDB. Opens it, brings it up to date, commits batches exactly once, answers SQL.

Knows tables and Arrow; no Kafka client, no message format. How rows that come twice are kept out, two ways
considered. A primary key makes DuckDB keep an index over every id: it grows with the table, must fit in memory and
slows each insert several times. Chosen: offsets first (a message below the stored offset is never decoded again),
and for messages that return on another offset (a run replayed on a new broker) an anti-join against the stored rows
of the batch's own time range. Ids are deterministic, so a repeated row has the same time, and DuckDB's zone maps
leave out all blocks of other times.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from personas.errors import StoreError
from sinks.batch import Batch, Partition, Positions
from sinks.columns import JSON_COLUMNS, KEYS, SCHEMAS, as_json, dead_letter_table
from sinks.horizon import Horizon
from sinks.migrations import MIGRATIONS
from sinks.mishaps import check_place, explain
from sinks.views import product_views

if TYPE_CHECKING:
    from personas.pack import Pack

log = logging.getLogger("dayone.sink.store")

MEMORY = ":memory:"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Rows of these never change; of the other tables the latest state wins, by this column.
_LATEST = {"users": "time", "runs": "updated"}


@dataclass(frozen=True)
class Committed:
    """What one transaction did: rows added by table, and rows left out because they were there already."""

    rows: Mapping[str, int]
    duplicates: Mapping[str, int]


class Store:
    """One open database. One thread at a time; writers hold the file alone. Use `Store.open`, and close it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: str) -> None:
        self.path = path
        self._connection = connection
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
        migrations: tuple[tuple[str, str], ...] = MIGRATIONS,
    ) -> Store:
        """Open (and, unless `read_only`, create or bring up to date) the database at `path`, or MEMORY.

        Raises StoreError: missing, locked, not writable, not a DuckDB file, of a newer schema (then unchanged).
        """
        text = str(path)
        if text != MEMORY:
            check_place(Path(text), read_only)
        try:
            connection = duckdb.connect(text, read_only=read_only and text != MEMORY)
        except duckdb.Error as error:
            raise explain(error, text) from error
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
            connection.execute("SET checkpoint_threshold = '256MB'")  # fewer, larger rewrites than the default 16MB
            connection.execute(f"SET memory_limit = '{memory_limit}'")
            if not read_only:  # the other cores decode and talk to Kafka; DuckDB's idle workers spin
                connection.execute(f"SET threads = {max(1, (os.cpu_count() or 1) // 2)}")
            store = cls(connection, text)
            pending = store._pending(migrations)
            if pending and read_only:
                raise StoreError(
                    f"{text}: the database lacks the migrations {', '.join(name for name, _ in pending)}.",
                    hint="Start `dayone sink` on it once; it brings the database up to date.",
                )
            for name, script in pending:
                store._migrate(name, script)
        except duckdb.Error as error:
            connection.close()
            raise explain(error, text) from error
        except StoreError:
            connection.close()
            raise
        return store

    def close(self) -> None:
        """Close the file; twice does nothing. The last checkpoint has all cores: nobody else needs them then."""
        with contextlib.suppress(duckdb.Error):
            self._connection.execute(f"SET threads = {os.cpu_count() or 1}")
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pending(self, migrations: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """The migrations to apply; StoreError where the database has some that this program does not know."""
        known = [name for name, _ in migrations]
        found = self._connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' ORDER BY ALL"
        ).fetchall()
        if ("schema_migrations",) not in found:
            if found:
                raise StoreError(
                    f"{self.path}: a DuckDB database, but not one of Dayone's: it holds {found[0][0]!r}.",
                    hint="Give another file with --store; Dayone makes it.",
                )
            return migrations
        rows = self._connection.execute("SELECT name FROM schema_migrations ORDER BY position").fetchall()
        applied = [name for (name,) in rows]
        if applied != known[: len(applied)]:
            odd = [name for name in applied if name not in known] or applied
            raise StoreError(
                f"{self.path}: the database has a newer schema than this program: it knows {', '.join(odd)}. "
                "Nothing was changed.",
                hint="Install the newer Dayone, or give another file with --store.",
            )
        return migrations[len(applied) :]

    def _migrate(self, name: str, script: str) -> None:
        with self._transaction():
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations (position INTEGER, name VARCHAR, applied TIMESTAMPTZ)"
            )
            self._connection.execute(script)
            self._connection.execute(
                "INSERT INTO schema_migrations SELECT count(*), ?, now() FROM schema_migrations", [name]
            )
        log.debug("applied migration %s to %s", name, self.path)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing. Whatever goes wrong, the database is as it was before."""
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

    def positions(self, cluster_id: str) -> dict[Partition, int]:
        """Where to read on, by partition, on this Kafka cluster."""
        rows = self._connection.execute(
            "SELECT topic, partition, next_offset FROM offsets WHERE cluster_id = ?", [cluster_id]
        ).fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def run_states(self, cluster_id: str) -> dict[str, tuple[int, dict[int, str]]]:
        """Of each run read from this cluster: its number of shards and the state of each shard that was seen."""
        states: dict[str, tuple[int, dict[int, str]]] = {}
        for run_id, shard, shards, state in self._connection.execute(
            "SELECT run_id, shard, shards, state FROM runs WHERE cluster_id = ? ORDER BY ALL", [cluster_id]
        ).fetchall():
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
        rows: dict[str, int] = {}
        duplicates: dict[str, int] = dict(batch.duplicates)
        if cluster_id != self._cluster_id:  # another cluster may have its keys on other partitions
            self._cluster_id, self._horizon = cluster_id, Horizon(self._stored_until)
        spans = self._horizon.spans(batch.tables["events"]) if "events" in batch.tables else {}
        later = self._horizon.beyond(spans)
        with self._transaction():
            for name, table in batch.tables.items():
                if name == "runs":
                    table = table.append_column("cluster_id", pa.repeat(cluster_id, table.num_rows))  # noqa: PLW2901
                with self._registered(as_json(table, JSON_COLUMNS)):
                    if name in _LATEST:
                        added, known = self._merge(name)
                    elif name == "events" and later:
                        added, known = self._count("INSERT INTO events BY NAME SELECT * FROM incoming"), 0
                    else:
                        added, known = self._append(name, table)
                rows[name] = added
                if known:
                    duplicates[name] = duplicates.get(name, 0) + known
            if batch.dead_letters:
                with self._registered(dead_letter_table(batch.dead_letters, cluster_id, datetime.now(UTC))):
                    self._connection.execute("INSERT INTO dead_letters BY NAME FROM incoming")
                rows["dead_letters"] = len(batch.dead_letters)
            self._write_offsets(batch.next_offsets, cluster_id)
            self._write_ingest(batch.messages, rows.get("events", 0), cluster_id)
        self._horizon.stored(spans)
        return Committed(rows, duplicates)

    def _stored_until(self, run_id: str) -> datetime | None:
        row = self._connection.execute("SELECT epoch_us(max(time)) FROM events WHERE run_id = ?", [run_id]).fetchone()
        return _EPOCH + timedelta(microseconds=row[0]) if row and row[0] is not None else None

    @contextlib.contextmanager
    def _registered(self, table: pa.Table) -> Iterator[None]:
        """Make an Arrow table readable as `incoming`."""
        self._connection.register("incoming", table)
        try:
            yield
        finally:
            self._connection.unregister("incoming")

    def _append(self, name: str, table: pa.Table) -> tuple[int, int]:
        """Insert the rows that are not there yet: (added, left out)."""
        bounds = pc.min_max(table.column("time")).as_py()
        keys = ", ".join(KEYS[name])
        statement = (
            f"INSERT INTO {name} BY NAME SELECT * FROM incoming ANTI JOIN "  # noqa: S608 - names of ours
            f"(SELECT {keys} FROM {name} WHERE time BETWEEN ?::TIMESTAMPTZ AND ?::TIMESTAMPTZ) AS known USING ({keys})"
        )
        added = self._count(statement, [bounds["min"].isoformat(), bounds["max"].isoformat()])
        return added, table.num_rows - added

    def _merge(self, name: str) -> tuple[int, int]:
        """Let the latest state win: (new keys, rows that were replaced or were older than what is there)."""
        keys, clock = KEYS[name], _LATEST[name]
        same = " AND ".join(f"stored.{key} = incoming.{key}" for key in keys)
        replaced = self._count(
            f"DELETE FROM {name} AS stored USING incoming "  # noqa: S608 - names of ours
            f"WHERE {same} AND stored.{clock} <= incoming.{clock}"
        )
        written = self._count(
            f"INSERT INTO {name} BY NAME SELECT * FROM incoming "  # noqa: S608 - names of ours
            f"ANTI JOIN {name} AS stored USING ({', '.join(keys)})"
        )
        total = self._count("SELECT count(*) FROM incoming")
        return written - replaced, total - (written - replaced)

    def _count(self, statement: str, parameters: list[Any] | None = None) -> int:
        row = self._connection.execute(statement, parameters or []).fetchone()
        return int(row[0]) if row else 0

    def _write_offsets(self, offsets: Positions, cluster_id: str) -> None:
        if not offsets:
            return
        for (topic, partition), offset in offsets.items():
            key = [cluster_id, topic, partition]
            self._connection.execute("DELETE FROM offsets WHERE cluster_id = ? AND topic = ? AND partition = ?", key)
            self._connection.execute("INSERT INTO offsets VALUES (?, ?, ?, ?)", [*key, offset])

    def _write_ingest(self, messages: int, events: int, cluster_id: str) -> None:
        ingest_id, started = self._ingest
        if not self._totals[0]:
            self._connection.execute("DELETE FROM ingests WHERE ingest_id = ?", [ingest_id])
            self._connection.execute(
                "INSERT INTO ingests VALUES (?, ?, ?, now(), 0, 0)", [ingest_id, cluster_id, started.isoformat()]
            )
        self._connection.execute(
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
        product = pack.product.name
        items = {
            "product": [product] * len(pack.catalog.items),
            "item_id": [item.id for item in pack.catalog.items],
            **{
                name: [getattr(item, name) for item in pack.catalog.items]
                for name in ("title", "category", "price", "quality", "launch_day", "text")
            },
            "pack_fingerprint": [pack.fingerprint] * len(pack.catalog.items),
        }
        with self._transaction(), self._registered(pa.table(items, schema=SCHEMAS["items"])):
            self._connection.execute("DELETE FROM items WHERE product = ?", [product])
            self._connection.execute("INSERT INTO items BY NAME FROM incoming")
            self._connection.execute("DELETE FROM funnel_steps WHERE product = ?", [product])
            for step, name in enumerate(pack.product.funnel):
                self._connection.execute("INSERT INTO funnel_steps VALUES (?, ?, ?)", [product, step, name])
            self._connection.execute("DELETE FROM slate_positions WHERE product = ?", [product])
            for name, slate in pack.product.slates.items():
                for place in range(slate.size):
                    row = [product, name, place + 1, slate.examination**place]
                    self._connection.execute("INSERT INTO slate_positions VALUES (?, ?, ?, ?)", row)
            for statement in product_views(pack):
                self._connection.execute(statement)

    def query(self, sql: str, parameters: list[Any] | None = None) -> pa.Table:
        """The answer to any SQL as an Arrow table (times in UTC). StoreError on a mistake in it."""
        try:
            return self._connection.execute(sql, parameters or []).to_arrow_table()
        except duckdb.Error as error:
            raise StoreError(f"The query cannot be answered: {error}") from error

    def reader(self, sql: str, batch_rows: int = 10_000) -> pa.RecordBatchReader:
        """Like `query`, batch by batch, so that a large answer need not fit in memory."""
        try:
            return self._connection.execute(sql).to_arrow_reader(batch_rows)
        except duckdb.Error as error:
            raise StoreError(f"The query cannot be answered: {error}") from error

    def size_bytes(self) -> int:
        """Bytes on disk, the write-ahead log included; 0 in memory."""
        return sum(path.stat().st_size for path in (Path(self.path), Path(f"{self.path}.wal")) if path.is_file())
