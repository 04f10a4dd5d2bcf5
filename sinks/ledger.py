"""The ledger of a store: who may write which partition, where to read on, and how much was taken in.

It is the fence of a lake with many sinks. A sink that is given partitions claims them, which makes its claim the latest
of each; every commit looks whether that is still so, and writes nothing otherwise. So one that has lost a partition and
does not know it yet, or was stopped in the middle of a batch and woken after others took over, keeps nothing twice.

What makes it hold although two transactions may overlap, each blind to the other: in a lake an addition to a table and
a change in the same table conflict, two additions do not (`lake.py`). A commit adds a row to `commits`, a claim changes
one there. So commits never stand in one another's way, and a claim and a commit that overlap cannot both succeed: the
loser looks again. Two other ways were tried. Offsets in rows that each commit updates: every commit conflicts with
every other. The same in a table per partition: no false conflicts, but 16 ms of processor time per partition and
commit, where this is 10 ms per commit.

In a DuckDB file one process writes, and DuckDB itself keeps others out: nothing needs to be claimed.

Knows these tables and no other; each function is part of a transaction that `store.py` begins and commits.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sinks.batch import Partition, Positions
from sinks.database import Database
from sinks.mishaps import Fenced

#: A process of a sink: its id, and when it read its first message.
Ingest = tuple[str, datetime]
#: After so many commits the rows of a process are folded into one: who looks for positions reads them all.
FOLD_EVERY = 1000


@dataclass(frozen=True)
class Claim:
    """Partitions of a cluster that were claimed, the number of the claim, and where those of them stand that were read
    before."""

    places: frozenset[Partition]
    cluster_id: str
    number: int
    positions: Positions


class Ledger(Protocol):
    """What the store asks of its ledger."""

    def positions(self, cluster_id: str) -> dict[Partition, int]:
        """Where to read on, by partition, on this Kafka cluster."""

    def claimed(self, places: Collection[Partition], cluster_id: str) -> bool:
        """Whether this process has claimed these partitions at some time, and perhaps lost them since."""

    def claim(self, places: Collection[Partition], cluster_id: str) -> Claim:
        """Make these partitions ours: every earlier claim of them is void. To be told to `hold` once committed."""

    def hold(self, claim: Claim) -> None:
        """The claim was committed: write under it from now on."""

    def write(self, offsets: Positions, ingest: Ingest, cluster_id: str, messages: int, events: int) -> None:
        """Put down where to read on, and how much was taken in. Fenced where a claim of these partitions is void."""


def ledger_of(database: Database) -> Ledger:
    """The ledger that fits the kind of database."""
    return FileLedger(database) if database.kind == "file" else LakeLedger(database)


class FileLedger:
    """A row per partition in `offsets`, a row per process in `ingests`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted = ""

    def positions(self, cluster_id: str) -> dict[Partition, int]:
        """See Ledger."""
        return _positions(self._database, cluster_id)

    def claimed(self, places: Collection[Partition], cluster_id: str) -> bool:
        """See Ledger. Who has opened the file has them all."""
        return True

    def claim(self, places: Collection[Partition], cluster_id: str) -> Claim:
        """See Ledger."""
        return _claim(self._database, places, cluster_id, 0)

    def hold(self, claim: Claim) -> None:
        """See Ledger. There is nothing to hold."""

    def write(self, offsets: Positions, ingest: Ingest, cluster_id: str, messages: int, events: int) -> None:
        """See Ledger."""
        places = json.dumps([[topic, partition, at] for (topic, partition), at in offsets.items()])
        self._database.execute(
            "DELETE FROM offsets WHERE cluster_id = ? AND (topic || '/' || partition) IN "
            "(SELECT (value ->> 0) || '/' || (value ->> 1) FROM json_each(?))",
            [cluster_id, places],
        )
        self._database.execute(
            "INSERT INTO offsets SELECT ?, value ->> 0, CAST(value ->> 1 AS INTEGER), CAST(value ->> 2 AS BIGINT) "
            "FROM json_each(?)",
            [cluster_id, places],
        )
        ingest_id, started = ingest
        if self._counted != ingest_id:
            self._database.execute("DELETE FROM ingests WHERE ingest_id = ?", [ingest_id])
            self._database.execute(
                "INSERT INTO ingests VALUES (?, ?, ?, now(), 0, 0)", [ingest_id, cluster_id, started.isoformat()]
            )
            self._counted = ingest_id
        self._database.execute(
            "UPDATE ingests SET updated = now(), messages = messages + ?, events = events + ? WHERE ingest_id = ?",
            [messages, events, ingest_id],
        )


class LakeLedger:
    """The latest claim of each partition in `claims`, a row per commit in `commits`; `offsets` and `ingests` are views
    of these. The row of `claims` without a cluster counts the claims, the one of `commits` is what each claim changes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mine: dict[tuple[str, Partition], int] = {}
        self._commits = 0

    def positions(self, cluster_id: str) -> dict[Partition, int]:
        """See Ledger."""
        return _positions(self._database, cluster_id)

    def claimed(self, places: Collection[Partition], cluster_id: str) -> bool:
        """See Ledger."""
        return all((cluster_id, place) in self._mine for place in places)

    def claim(self, places: Collection[Partition], cluster_id: str) -> Claim:
        """See Ledger."""
        execute = self._database.execute
        execute("UPDATE claims SET claim = claim + 1 WHERE cluster_id = ''")
        execute("UPDATE commits SET number = number + 1 WHERE cluster_id = ''")
        [(number,)] = execute("SELECT claim FROM claims WHERE cluster_id = ''")
        ours = json.dumps([[topic, partition] for topic, partition in sorted(places)])
        rows = (
            "SELECT ? AS cluster_id, value ->> 0 AS topic, CAST(value ->> 1 AS INTEGER) AS partition FROM json_each(?)"
        )
        execute(
            f"DELETE FROM claims AS old USING ({rows}) AS new WHERE old.cluster_id = new.cluster_id "  # noqa: S608
            "AND old.topic = new.topic AND old.partition = new.partition",
            [cluster_id, ours],
        )
        execute(f"INSERT INTO claims SELECT *, ? FROM ({rows})", [number, cluster_id, ours])  # noqa: S608 - ours
        return _claim(self._database, places, cluster_id, number)

    def hold(self, claim: Claim) -> None:
        """See Ledger."""
        self._mine |= {(claim.cluster_id, place): claim.number for place in claim.places}

    def write(self, offsets: Positions, ingest: Ingest, cluster_id: str, messages: int, events: int) -> None:
        """See Ledger."""
        latest = {
            (topic, partition): number
            for topic, partition, number in self._database.execute(
                "SELECT topic, partition, claim FROM claims WHERE cluster_id = ?", [cluster_id]
            )
        }
        lost = [place for place in offsets if latest.get(place) != self._mine.get((cluster_id, place))]
        if lost:
            names = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(lost))
            raise Fenced(f"{self._database.path}: other sinks have taken over {names}.")
        ingest_id, started = ingest
        self._commits += 1
        claim = max((latest[place] for place in offsets), default=0)
        positions = json.dumps({f"{topic}/{partition}": offset for (topic, partition), offset in offsets.items()})
        self._database.execute(
            "INSERT INTO commits VALUES (?, ?, ?, ?, ?, now(), ?, ?, ?)",
            [cluster_id, claim, self._commits, ingest_id, started.isoformat(), messages, events, positions],
        )
        if self._commits % FOLD_EVERY == 0:
            fold(self._database, ingest_id)


def fold(database: Database, ingest_id: str) -> None:
    """Make one row of all commits of a process under the same claim: `offsets` and `ingests` say what they said."""
    database.execute(_FOLDED, [ingest_id, ingest_id])
    database.execute("DELETE FROM commits WHERE cluster_id <> '' AND ingest_id = ?", [ingest_id])
    database.execute("INSERT INTO commits BY NAME FROM folded")


_FOLDED = """
CREATE OR REPLACE TEMP TABLE folded AS
WITH latest AS (
    SELECT cluster_id, claim, position.key, arg_max(CAST(position.value AS BIGINT), number) AS next_offset
    FROM commits, json_each(commits.positions) AS position WHERE ingest_id = ? GROUP BY ALL),
places AS (SELECT cluster_id, claim, json_group_object(key, next_offset) AS positions FROM latest GROUP BY ALL)
SELECT cluster_id, claim, max(number) AS number, ingest_id, min(started) AS started, max(committed) AS committed,
       CAST(sum(messages) AS BIGINT) AS messages, CAST(sum(events) AS BIGINT) AS events,
       coalesce(any_value(places.positions), '{}') AS positions
FROM (SELECT * EXCLUDE (positions) FROM commits WHERE cluster_id <> '' AND ingest_id = ?)
LEFT JOIN places USING (cluster_id, claim) GROUP BY cluster_id, claim, ingest_id
"""


def _claim(database: Database, places: Collection[Partition], cluster_id: str, number: int) -> Claim:
    stored = _positions(database, cluster_id)
    kept = {place: offset for place, offset in stored.items() if place in places}
    return Claim(frozenset(places), cluster_id, number, kept)


def _positions(database: Database, cluster_id: str) -> dict[Partition, int]:
    found = database.execute("SELECT topic, partition, next_offset FROM offsets WHERE cluster_id = ?", [cluster_id])
    return {(topic, partition): offset for topic, partition, offset in found}
