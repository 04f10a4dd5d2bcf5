"""Answers of language models, kept, so that a run can be repeated byte for byte and for nothing.

One SQLite file: the fingerprint of a request → what was answered, or the error that it ended with (a refusal decides
what happens in a run as an answer does). The other way, JSON lines in compressed files, has to be read whole before
the first question, is torn by a kill in mid-line, and wants a lock of its own between processes; SQLite has all three
settled, and a file can be shipped with a pack. Each answer is a transaction: after a kill everything is there that
was given to the caller. While it is written there is a `-wal` file beside it; `close` folds that in.

Kept are: the fingerprint, the models, the prompt's name, purpose and sample number, the answer, tokens and dollars.
Not kept are: the prompt's text (the fingerprint stands for it), keys, headers, addresses.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal

from personas.errors import BudgetError, TutorError
from simulator.agents.language import Answer, Request, Usage
from simulator.agents.shared_file import open_shared

FILE = "recordings.sqlite"
Mode = Literal["record", "replay", "auto"]
#: Marks the file as ours ("DYre"), and the version of the tables below.
APPLICATION, VERSION = 0x44597265, 1
TABLES = """
CREATE TABLE answers (
    fingerprint TEXT PRIMARY KEY, model TEXT NOT NULL, prompt TEXT NOT NULL, purpose TEXT NOT NULL,
    sample INTEGER NOT NULL, run TEXT NOT NULL, answered_by TEXT, content TEXT, usage TEXT, dollars REAL NOT NULL,
    error_kind TEXT, error_scope TEXT, error TEXT, hint TEXT
) WITHOUT ROWID;
CREATE TABLE batches (
    number INTEGER PRIMARY KEY, server TEXT NOT NULL, state TEXT NOT NULL, batch TEXT, requests TEXT NOT NULL
);
"""
FIND = """
SELECT run, content, answered_by, usage, error_kind, error_scope, error, hint FROM answers WHERE fingerprint = ?
"""
Outcome = Answer | TutorError


class Recordings:
    """One file of recordings. Several processes may write it at once. With `writable` False nothing about the file or
    its folder changes, so that it may lie where nobody may write. TutorError says what is wrong with a file."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self.path = path
        try:
            self._database = open_shared(path) if writable else _open_to_read(path)
        except (sqlite3.Error, OSError) as error:
            raise self._error(f"cannot be opened ({error})") from None
        try:
            self._check(writable)
        except BaseException:
            self._database.close()
            raise
        self._writable = writable
        self._run = uuid.uuid4().hex

    def find(self, fingerprint: str, *, of_this_run: bool = False) -> Outcome | None:
        """What a request was answered, or the error that it ended with; if wished, only what was kept by this object.
        Dollars are 0: nobody pays for it again."""
        row = self._ask(FIND, (fingerprint,)).fetchone()
        if row is None or (of_this_run and row[0] != self._run):
            return None
        _, content, answered_by, usage, kind, scope, message, hint = row
        if kind == "budget":
            return BudgetError(message, hint=hint)
        if kind is not None:
            return TutorError(message, kind=kind, scope=scope, hint=hint)
        return Answer.model_construct(  # it was checked before it was kept, and many thousands are read a second
            content=json.loads(content), model=answered_by, usage=_usage_of(usage), dollars=0.0, replayed=True
        )

    def keep(self, request: Request, outcome: Outcome) -> None:
        """Write down how a request ended; what is there of it already is replaced."""
        if isinstance(outcome, Answer):
            content = json.dumps(outcome.content, ensure_ascii=False, separators=(",", ":"))
            tail: tuple[object, ...] = (
                outcome.model,
                content,
                outcome.usage.model_dump_json(),
                outcome.dollars,
                None,
                None,
                None,
                None,
            )
        else:
            tail = (None, None, None, 0.0, outcome.kind, outcome.scope, outcome.message, outcome.hint)
        row = (request.fingerprint, request.model, request.prompt, request.purpose, request.sample, self._run, *tail)
        self._ask(f"INSERT OR REPLACE INTO answers VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608

    def __len__(self) -> int:
        """How many requests have an outcome."""
        return int(self._ask("SELECT count(*) FROM answers").fetchone()[0])

    # Batches under way, so that a program started again asks for their results and not again

    lasting = True

    def begin_batch(self, server: str, fingerprints: Iterable[str]) -> int:
        """A batch is about to be handed in; gives a number for `keep_batch`."""
        row = (server, json.dumps(list(fingerprints)))
        done = self._ask("INSERT INTO batches (server, state, requests) VALUES (?, 'begun', ?)", row)
        return int(done.lastrowid or 0)

    def keep_batch(self, number: int, batch: str | None) -> None:
        """The id that a batch was given; None: it was not taken."""
        state = "under_way" if batch else "ended"
        self._ask("UPDATE batches SET batch = ?, state = ? WHERE number = ?", (batch, state, number))

    def batches_under_way(self, server: str) -> dict[str, list[str]]:
        """Batches of a server whose results nobody has fetched yet: id → fingerprints of their requests."""
        rows = self._ask("SELECT batch, requests FROM batches WHERE server = ? AND state = 'under_way'", (server,))
        return {batch: json.loads(requests) for batch, requests in rows.fetchall()}

    def forget_lost_batches(self, server: str) -> int:
        """How many requests were about to be handed in when a process ended; they are told once."""
        rows = self._ask(
            "UPDATE batches SET state = 'lost' WHERE server = ? AND state = 'begun' RETURNING requests", (server,)
        )
        return sum(len(json.loads(requests)) for (requests,) in rows.fetchall())

    def end_batch(self, batch: str) -> None:
        """All results of a batch have been kept, or never come."""
        self._ask("UPDATE batches SET state = 'ended' WHERE batch = ?", (batch,))

    def close(self) -> None:
        """Fold everything into the one file, where no other process still writes it."""
        try:
            if self._writable:
                self._database.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error:
            pass  # another process has it open, and will do it
        finally:
            self._database.close()

    def _ask(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise self._error(f"cannot be used ({error})") from None

    def _check(self, writable: bool) -> None:
        if writable:
            self._make_tables()
        (application,) = self._ask("PRAGMA application_id").fetchone()
        (version,) = self._ask("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            raise self._error("is no file of recordings")
        elif version != VERSION:
            raise self._error(f"is of version {version}, expected {VERSION}")

    def _make_tables(self) -> None:
        """In a new file, by one process alone."""
        self._ask("BEGIN IMMEDIATE")
        if not self._ask("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            for statement in TABLES.split(";\n"):
                self._ask(statement)
            self._ask(f"PRAGMA application_id = {APPLICATION}")
            self._ask(f"PRAGMA user_version = {VERSION}")
        self._ask("COMMIT")

    def _error(self, what: str) -> TutorError:
        return TutorError(
            f"The recordings {self.path}: the file {what}.",
            kind="recordings",
            scope="tutor",
            hint="DAYONE_TUTOR_RECORDINGS names a folder that dayone keeps recordings in, or a new one.",
        )


@lru_cache(maxsize=4096)
def _usage_of(text: str) -> Usage:
    return Usage.model_validate_json(text)


def _open_to_read(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise OSError("there is none")
    address = path.resolve().as_uri()
    try:
        return _opened(f"{address}?mode=ro")
    except sqlite3.OperationalError:
        return _opened(f"{address}?immutable=1")  # needs no -shm beside the file


def _opened(address: str) -> sqlite3.Connection:
    database = sqlite3.connect(address, timeout=30, isolation_level=None, uri=True)
    try:
        database.execute("PRAGMA mmap_size = 268435456")
        database.execute("BEGIN")  # one view of the file for all questions: a lock for each takes longer than reading
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database
