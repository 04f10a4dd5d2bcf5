"""The audit log of a store: what happened to it, in order, each entry holding the hash of the one before.

Runs that were seen and that ended, builds, exports, decisions of gates, quarantine and release. An entry that is
changed, left out, put in or moved breaks the chain at its place; entries cut off at the end are found by the head,
which is kept apart, and by the head that every manifest of a training set remembers.

Two ways to chain were weighed. A log file beside the store is easy to append to, and may tell of what was rolled back,
or not of what was committed. Chosen: a table, written in the transaction of what it tells of. Two transactions that
append at once, in a lake, both change the one row of `audit_head`: one of them loses and is tried again, so the chain
never forks.

Knows these two tables and `runs`; begins no transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

import psutil

from personas.provenance import dayone_version, fingerprint
from sinks.batch import FINAL

#: What an entry can tell of: a run (of a shard, or of core data), a training set that was built or exported, what a
#: gate said, a proof, a run put aside or let in again.
Action = Literal["run", "build", "export", "gate", "proof", "quarantine", "release"]
#: Actions that change what a build would make. The last of them is what a manifest remembers as its anchor: building
#: adds an entry, too, and must not change what the next build of the same data writes.
ABOUT_DATA = ("run", "quarantine", "release")
#: The hash before the first entry.
GENESIS = "0" * 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Executes(Protocol):
    """What is needed of a database."""

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True)
class Note:
    """What is to be put down. `subject` is what it is about (`<run id>/<shard>`, `<task>/<version>`), `program` the
    version of Dayone, `who` the login name on whose behalf it ran."""

    action: Action
    subject: str
    details: Mapping[str, Any]
    time: datetime
    program: str
    who: str


@dataclass(frozen=True)
class Entry:
    """A note in its place in the chain. `details` is canonical JSON; `hash` covers everything else."""

    sequence: int
    time: datetime
    action: str
    subject: str
    program: str
    who: str
    details: str
    previous: str
    hash: str


def note(
    action: Action, subject: str, details: Mapping[str, Any], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Note:
    """A note of now, by this program and user."""
    return Note(action, subject, details, clock(), f"dayone {dayone_version()}", psutil.Process().username())


def append(database: Executes, notes: Iterable[Note]) -> None:
    """Add entries to the end of the chain. Part of a transaction that somebody else begins and commits."""
    [(sequence, previous)] = database.execute("SELECT sequence, hash FROM audit_head")
    added: list[Entry] = []
    for each in notes:
        details = json.dumps(each.details, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        sequence += 1
        entry = Entry(
            sequence, each.time, each.action, each.subject, each.program, each.who, details, previous, ""
        )  # fmt: skip
        previous = hash_of(entry)
        added.append(Entry(**{**asdict(entry), "hash": previous}))
    for entry in added:
        values = [*asdict(entry).values()]
        values[1] = entry.time.isoformat()
        database.execute("INSERT INTO audit_log VALUES (?, ?::TIMESTAMPTZ, ?, ?, ?, ?, ?, ?, ?)", values)
    if added:
        database.execute("UPDATE audit_head SET sequence = ?, hash = ?", [sequence, previous])


def hash_of(entry: Entry) -> str:
    """SHA-256 of the canonical JSON of an entry without its own hash; the time in microseconds since 1970, UTC."""
    fields = asdict(entry)
    del fields["hash"]
    return fingerprint({**fields, "time": (entry.time - _EPOCH) // timedelta(microseconds=1)})


def note_runs(database: Executes) -> None:
    """Put down every run of the store that the log does not know in its present state: one that is new, has ended, or
    ended again with more days. Part of the transaction that writes `runs`."""
    known = {
        subject: json.loads(details)
        for subject, details in database.execute(
            "SELECT subject, details FROM audit_log WHERE action = 'run' ORDER BY sequence"
        )
    }
    fresh: list[Note] = []
    for run_id, shard, state, cluster_id, manifest in database.execute(
        "SELECT run_id, shard, state, cluster_id, manifest FROM runs ORDER BY run_id, shard"
    ):
        subject, told = f"{run_id}/{shard}", json.loads(manifest)
        details = {"state": state, "cluster_id": cluster_id, "manifest_sha256": fingerprint(told)}
        before = known.get(subject)
        same_end = state not in FINAL or (before or {}).get("manifest_sha256") == details["manifest_sha256"]
        if before is None or before["state"] != state or not same_end:
            said = {name: told[name] for name in ("days", "counts", "dayone_version") if name in told}
            fresh.append(note("run", subject, {**details, **said}))
    append(database, fresh)


#: The columns of an entry, for whoever reads the log; the time in microseconds since 1970.
ENTRIES = (
    "SELECT sequence, epoch_us(time) AS time, action, subject, program, who, details, previous, hash "
    "FROM audit_log ORDER BY sequence"
)
HEAD = "SELECT sequence, hash FROM audit_head"


def entries_of(rows: Iterable[Sequence[Any]]) -> list[Entry]:
    """Entries out of the answer to ENTRIES."""
    return [Entry(row[0], _EPOCH + timedelta(microseconds=row[1]), *row[2:]) for row in rows]


def broken(entries: Sequence[Entry], heads: Sequence[Sequence[Any]]) -> list[str]:
    """Every fault of a chain, in words: none where it holds. `heads` is the answer to HEAD."""
    faults = []
    previous = GENESIS
    for place, entry in enumerate(entries, start=1):
        if entry.sequence != place:
            faults.append(f"entry {place} of the audit log is missing, or moved: found number {entry.sequence} there")
            break
        if entry.hash != hash_of(entry):
            faults.append(f"entry {place} of the audit log ({entry.action} {entry.subject}) was changed")
        if entry.previous != previous:
            faults.append(f"entry {place} of the audit log does not follow the one before it")
        previous = entry.hash
    last = (len(entries), previous)
    if not faults and [tuple(head) for head in heads] != [last]:
        told = heads[0][0] if heads else "nothing"
        faults.append(f"the audit log ends at entry {len(entries)}, but its head says {told}: cut off, or added to")
    return faults


def anchor_of(entries: Sequence[Entry]) -> str:
    """The hash of the last entry that changed what a build would make (GENESIS where there is none): what a manifest
    remembers of the log."""
    return next((entry.hash for entry in reversed(entries) if entry.action in ABOUT_DATA), GENESIS)
