"""What an undisturbed run gives, as a database, and how a disturbed one differs from it.

The truth is played in this process onto a list. It goes into a database through the sink's decoder, since comparing
hundreds of thousands of rows is SQL's work; that this database says what the messages say is looked at once, by
`tests.integration.program`, which reads the messages by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from personas.population import DAY_MS
from personas.provenance import RunIdentity
from simulator.partitioner import Shard
from simulator.producer import MemoryProducer
from simulator.simulation import Simulation
from sinks.store import Store
from tests.integration.program import PACK, TABLES, assert_same, of_messages, of_store
from tests.runs import pack_of, store_records

#: Columns that must be the same wherever the row comes from; `events` has its place on the topic apart.
COLUMNS = {
    "events": "run_id, event_id, user_id, session_id, sequence, time, type, properties::VARCHAR AS properties",
    "sessions": "run_id, session_id, user_id, number, started, ended, events, items, converted, value",
    "users": "run_id, user_id, signed_up, device",
    "labels": "run_id, label_id, user_id, session_id, kind, persona, satisfaction, weight",
}


@dataclass(frozen=True)
class RunSize:
    """A run of the shop from 2026-01-01 on."""

    users: int
    days: float
    seed: int

    @property
    def words(self) -> tuple[object, ...]:
        """For the command line of `dayone simulate`."""
        return (PACK, "--users", self.users, "--days", self.days, "--seed", self.seed)


@dataclass(frozen=True)
class Truth:
    """An undisturbed run: its database, and how many rows of each table it has."""

    size: RunSize
    path: Path
    run_id: str
    rows: dict[str, int]

    @property
    def events(self) -> int:
        """How many events the run has."""
        return self.rows["events"]

    @property
    def messages(self) -> int:
        """How many messages the run puts on the four data topics."""
        return sum(self.rows.values())


def play(size: RunSize, path: Path) -> Truth:
    """Play the run undisturbed, and keep it at `path`."""
    pack, producer = pack_of(PACK), MemoryProducer()
    identity = RunIdentity(
        product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint,
        seed=size.seed, users=size.users, start=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    Simulation(pack, identity, Shard(0, 1, 4), producer).advance(round(size.days * DAY_MS))
    with Store.open(path) as store:
        store_records(store, pack, producer.records)
        rows = {table: int(store.query(f"SELECT count(*) FROM {table}").column(0)[0].as_py()) for table in TABLES}
    assert_same(of_store(path), of_messages(record.value for record in producer.records))
    return Truth(size, path, identity.run_id, rows)


@dataclass(frozen=True)
class Verdict:
    """How a database differs from the truth: rows by table, and events that stand before an earlier one of the same
    user. All zero is what must be."""

    missing: dict[str, int]
    extra: dict[str, int]
    disordered: int
    dead_letters: int

    @property
    def good(self) -> bool:
        """Nothing lost, nothing twice, order kept."""
        return not (any(self.missing.values()) or any(self.extra.values()) or self.disordered or self.dead_letters)

    def __str__(self) -> str:
        if self.good:
            return "exact"
        told = [f"{count:,} {table} lost" for table, count in self.missing.items() if count]
        told += [f"{count:,} {table} too many" for table, count in self.extra.items() if count]
        told += [f"{self.disordered:,} out of order"] if self.disordered else []
        return ", ".join([*told, f"{self.dead_letters:,} dead letters"] if self.dead_letters else told)


#: Within a user the place on the topic rises with time, and within a session with the sequence; and a user stays in
#: one partition. `run_id` is bound.
_DISORDER = """
SELECT count(*) FROM (
    SELECT
        time < lag(time) OVER places
        OR topic_partition <> lag(topic_partition) OVER places
        OR (session_id = lag(session_id) OVER places AND sequence <> lag(sequence) OVER places + 1) AS wrong
    FROM events WHERE run_id = ? WINDOW places AS (PARTITION BY user_id ORDER BY topic_offset)
) WHERE wrong
"""


def judge(store: Path, truth: Truth) -> Verdict:
    """Compare a database that nobody has open with the truth, row by row; a row that is there twice is one too many."""
    import duckdb

    missing, extra = {}, {}
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH '{truth.path}' AS truth (READ_ONLY)")
        connection.execute(f"ATTACH '{store}' AS found (READ_ONLY)")
        for table, columns in COLUMNS.items():
            here, there = (
                f"SELECT {columns} FROM {name}.{table} WHERE run_id = '{truth.run_id}'" for name in ("found", "truth")
            )
            counts = [
                connection.execute(f"SELECT count(*) FROM ({one} EXCEPT ALL {other})").fetchall()[0][0]
                for one, other in ((there, here), (here, there))
            ]
            missing[table], extra[table] = counts
        connection.execute("USE found")
        disordered = connection.execute(_DISORDER, [truth.run_id]).fetchall()[0][0]
        dead = connection.execute("SELECT count(*) FROM dead_letters").fetchall()[0][0]
    return Verdict(missing, extra, disordered, dead)
