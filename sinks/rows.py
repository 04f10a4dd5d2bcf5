"""How rows get into the tables: appended unless they are there, or merged so that the latest state wins.

Each function is one part of a transaction that somebody else (`store.py`) begins and commits. How rows that come
twice are kept out, two ways considered. A primary key makes DuckDB keep an index over every id: it grows with the
table, must fit in memory and slows each insert several times. Chosen: offsets first (a message below the stored offset
is never decoded again), and for messages that return on another offset (a run replayed on a new broker) an anti-join
against the stored rows of the batch's own time range. Ids are deterministic, so a repeated row has the same time, and
DuckDB's zone maps leave out all blocks of other times.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from sinks.batch import DeadLetter
from sinks.columns import JSON_COLUMNS, KEYS, as_json, dead_letter_table
from sinks.database import Database

#: Rows of these never change; of the other tables the latest state wins, by this column.
_LATEST = {"users": "time", "runs": "updated"}


def write(database: Database, name: str, table: pa.Table, *, all_new: bool = False) -> tuple[int, int]:
    """Bring rows into the table `name`: (added, known already). `all_new`: none of them can be there."""
    with database.registered(as_json(table, JSON_COLUMNS)):
        if name in _LATEST:
            return _merge(database, name)
        if all_new:
            return database.count(f"INSERT INTO {name} BY NAME SELECT * FROM incoming"), 0  # noqa: S608 - ours
        return _append(database, name, table)


def _append(database: Database, name: str, table: pa.Table) -> tuple[int, int]:
    """Insert the rows that are not there yet: (added, left out)."""
    bounds = pc.min_max(table.column("time")).as_py()
    keys = ", ".join(KEYS[name])
    statement = (
        f"INSERT INTO {name} BY NAME SELECT * FROM incoming ANTI JOIN "  # noqa: S608 - names of ours
        f"(SELECT {keys} FROM {name} WHERE time BETWEEN ?::TIMESTAMPTZ AND ?::TIMESTAMPTZ) AS known USING ({keys})"
    )
    added = database.count(statement, [bounds["min"].isoformat(), bounds["max"].isoformat()])
    return added, table.num_rows - added


def _merge(database: Database, name: str) -> tuple[int, int]:
    """Let the latest state win: (new keys, rows that were replaced or were older than what is there)."""
    keys, clock = KEYS[name], _LATEST[name]
    same = " AND ".join(f"stored.{key} = incoming.{key}" for key in keys)
    # Looked for first: in a lake a DELETE stands in the way of other writers of the table, and there is rarely one.
    older = database.count(f"SELECT count(*) FROM {name} AS stored JOIN incoming ON {same}")  # noqa: S608 - ours
    replaced = older and database.count(
        f"DELETE FROM {name} AS stored USING incoming "  # noqa: S608 - names of ours
        f"WHERE {same} AND stored.{clock} <= incoming.{clock}"
    )
    written = database.count(
        f"INSERT INTO {name} BY NAME SELECT * FROM incoming "  # noqa: S608 - names of ours
        f"ANTI JOIN {name} AS stored USING ({', '.join(keys)})"
    )
    total = database.count("SELECT count(*) FROM incoming")
    return written - replaced, total - (written - replaced)


def write_dead_letters(database: Database, letters: Sequence[DeadLetter], cluster_id: str, received: datetime) -> int:
    """Keep letters as rows of `dead_letters`: how many."""
    with database.registered(dead_letter_table(letters, cluster_id, received)):
        return database.count("INSERT INTO dead_letters BY NAME FROM incoming")
