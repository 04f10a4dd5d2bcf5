"""What runs have spent on language models, in a file that a kill cannot make forget.

A reservation is written before its call is made, and replaced by the true cost after it. What a process leaves open
when it dies may have been billed, so it goes on counting in full; whoever starts the run again reads it, and shards of
a run that share the file see one another's. Each write is a transaction: no two processes together reserve more than
is left.

Two ways were weighed: in the file of recordings, or in one of its own beside it. Recordings are shipped with packs,
read where nobody may write, and thrown away to be asked anew; a bill must not travel or vanish with them.

An account is a part of a run (a shard; a course has one). Where a run was complete and begins anew, on topics that hold
nothing of it, the old accounts are closed and it has its whole budget. Knows dollars and names, no models and no calls.
"""

from __future__ import annotations

import math
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personas.errors import TutorError
from simulator.agents.shared_file import open_shared

FILE = "spending.sqlite"
#: Beside recordings it has that name; without any it lies where the program was started.
LONE_FILE = Path("dayone.spending.sqlite")
#: Marks the file as ours ("DYsp"), and the version of the tables below.
APPLICATION, VERSION = 0x44597370, 1
TABLES = """
CREATE TABLE accounts (
    number INTEGER PRIMARY KEY, run TEXT NOT NULL, part TEXT NOT NULL, spent REAL NOT NULL,
    complete INTEGER NOT NULL, closed INTEGER NOT NULL
);
CREATE UNIQUE INDEX open_accounts ON accounts (run, part) WHERE NOT closed;
CREATE TABLE reservations (
    number INTEGER PRIMARY KEY, account INTEGER NOT NULL, process TEXT NOT NULL, dollars REAL NOT NULL, batch TEXT
);
"""
RESERVE = """
INSERT INTO reservations (account, process, dollars) SELECT :account, :process, :dollars
WHERE :dollars + (SELECT total(spent) FROM accounts WHERE run = :run AND NOT closed) + (
    SELECT total(dollars) FROM reservations JOIN accounts ON accounts.number = account WHERE run = :run AND NOT closed
) <= :ceiling RETURNING number
"""
#: Sums of dollars are rounded; nobody is refused for the last digit.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Payer:
    """Whose money it is: `run` and the `part` of it that this process plays; the `ceiling` is that of the whole run.
    A `fresh` run begins from nothing; others go on."""

    run: str
    part: str
    ceiling: float
    fresh: bool = False


class Spending:
    """The account of one payer in a file, which is made with the first reservation. TutorError says what is wrong with
    a file. For one thread."""

    def __init__(self, path: Path, payer: Payer) -> None:
        self.path, self.payer = path, payer
        self._process = uuid.uuid4().hex
        self._database: sqlite3.Connection | None = None
        self._account = 0
        if path.is_file():
            self._open()

    def spent(self) -> float:
        """Dollars that this part of the run has spent so far, or may have."""
        if self._database is None:
            return 0.0
        (spent,), (held,) = (
            self._ask("SELECT spent FROM accounts WHERE number = ?", (self._account,))[0],
            self._ask("SELECT total(dollars) FROM reservations WHERE account = ?", (self._account,))[0],
        )
        return float(spent) + float(held)

    def reserve(self, dollars: float) -> int | None:
        """A reservation, written down; None where the run has no room for it."""
        if self._database is None:
            self._open()
        values = {"account": self._account, "process": self._process, "dollars": dollars, "run": self.payer.run}
        found = self._ask(RESERVE, values | {"ceiling": self.payer.ceiling + ROUNDING})
        return int(found[0][0]) if found else None

    def settle(self, number: int, dollars: float) -> None:
        """What a reservation came to, in its place."""
        self._ask("BEGIN IMMEDIATE")
        self._ask("DELETE FROM reservations WHERE number = ?", (number,))
        self._spend(dollars)
        self._ask("COMMIT")

    def name(self, number: int, batch: str) -> None:
        """A reservation is for this batch, which another process may fetch."""
        self._ask("UPDATE reservations SET batch = ? WHERE number = ?", (batch, number))

    def settle_batch(self, batch: str, dollars: float) -> float:
        """What a batch of an earlier process came to; gives back how much was still reserved for it."""
        if self._database is None:
            self._open()
        self._ask("BEGIN IMMEDIATE")
        mine = (batch, self._account, self._process)
        query = "DELETE FROM reservations WHERE batch = ? AND account = ? AND process <> ? RETURNING dollars"
        freed = math.fsum(held for (held,) in self._ask(query, mine))
        self._spend(dollars)
        self._ask("COMMIT")
        return freed

    def complete(self) -> None:
        """The run is complete: should it begin anew from nothing, it pays from a new account."""
        if self._database is not None:
            self._ask("UPDATE accounts SET complete = 1 WHERE number = ?", (self._account,))

    def close(self) -> None:
        """Let go of the file. What is reserved stays so."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _spend(self, dollars: float) -> None:
        if dollars:
            self._ask("UPDATE accounts SET spent = spent + ? WHERE number = ?", (dollars, self._account))

    def _open(self) -> None:
        try:
            self._database = open_shared(self.path)
        except (sqlite3.Error, OSError) as error:
            raise self._error(f"cannot be opened ({error})") from None
        self._ask("BEGIN IMMEDIATE")
        if not self._ask("SELECT count(*) FROM sqlite_schema")[0][0]:
            for statement in TABLES.split(";\n"):
                self._ask(statement)
            self._ask(f"PRAGMA application_id = {APPLICATION}")
            self._ask(f"PRAGMA user_version = {VERSION}")
        found = self._ask("PRAGMA application_id")[0][0], self._ask("PRAGMA user_version")[0][0]
        if found != (APPLICATION, VERSION):
            self.close()
            raise self._error(f"is none that this version of Dayone keeps (version {VERSION})")
        mine = (self.payer.run, self.payer.part)
        if self.payer.fresh:
            self._ask("UPDATE accounts SET closed = 1 WHERE run = ? AND complete", mine[:1])
        self._ask("INSERT OR IGNORE INTO accounts (run, part, spent, complete, closed) VALUES (?, ?, 0.0, 0, 0)", mine)
        query = "UPDATE accounts SET complete = 0 WHERE run = ? AND part = ? AND NOT closed RETURNING number"
        self._account = int(self._ask(query, mine)[0][0])
        self._ask("COMMIT")

    def _ask(self, statement: str, values: tuple[object, ...] | dict[str, object] = ()) -> list[Any]:
        assert self._database is not None
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(f"cannot be used ({error})") from None

    def _error(self, what: str) -> TutorError:
        return TutorError(
            f"What was spent on language models stands in {self.path}: the file {what}. Without it the budget could be "
            "exceeded, so nothing is asked.",
            kind="spending",
            scope="tutor",
            hint="DAYONE_TUTOR_SPENDING names a file that can be written; --recordings DIR keeps it there.",
        )
