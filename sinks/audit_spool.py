"""Entries of the audit log that could not be written at once: kept beside the store, taken in by its next writer.

A DuckDB file has one writer, and no writer while others read. A build reads for minutes and has one line to add at its
end, when another build may still be reading. Three ways were weighed: refuse the build (minutes of work for one line),
wait (for how long?), or put the line beside the store and let whoever opens it for writing next take it in. The third:
each line is a file of its own in `<store>.audit/`, so nobody needs a lock, and it is deleted only when the transaction
that took it in has been committed; one that was taken in already is known by its content. A line that vanishes before
it was taken in is found by `dayone audit verify`, which asks the log for the build. A lake has many writers: there the
log is written at once.

Knows files and the log's notes; the store calls it, and `audit_recording.py` decides what has to wait.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from personas.errors import StoreError
from personas.provenance import fingerprint
from sinks.audit_log import Note, append
from sinks.database import Database
from sinks.place import MEMORY, Place

log = logging.getLogger("dayone.sink.audit")


def spool_of(place: Place) -> Path | None:
    """Where entries wait for a writer; None where nothing ever waits (a lake, memory)."""
    return None if place.is_lake or place.target == MEMORY else Path(f"{place.target}.audit")


def waiting(place: Place) -> list[Note]:
    """The notes that wait beside a store, oldest first. StoreError where one of them is not readable."""
    notes = []
    for path in _files(place):
        try:
            notes.append(_note_in(path))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{path}: not an entry for the audit log ({error}).") from error
    return notes


def put(spool: Path, each: Note) -> None:
    """Let a note wait. Written under another name and renamed: a reader sees all of it or nothing. StoreError where the
    folder is not writable."""
    told = {**asdict(each), "time": each.time.isoformat()}
    path = spool / f"{each.time:%Y%m%dT%H%M%S%fZ}-{fingerprint(told)[:12]}.json"
    try:
        spool.mkdir(exist_ok=True)
        written = path.with_suffix(f".{os.getpid()}.partial")
        written.write_text(json.dumps(told, ensure_ascii=False), "utf-8")
        written.rename(path)
    except OSError as error:
        raise StoreError(
            f"{spool}: an entry for the audit log cannot be kept there ({error.strerror}).",
            hint="Try again when no other program has the store open, or make its folder writable.",
        ) from error


def take_in(database: Database, place: Place) -> int:
    """Let the log have what waits beside a store that was opened for writing: how many entries."""
    taken: list[Path] = []
    notes: list[Note] = []
    for path in _files(place):
        try:
            each = _note_in(path)
        except (OSError, ValueError, TypeError, KeyError):
            log.warning("%s is not an entry for the audit log: left where it is", path)
            continue
        taken.append(path)
        if not database.execute(
            "SELECT 1 FROM audit_log WHERE action = ? AND subject = ? AND time = ?::TIMESTAMPTZ",
            [each.action, each.subject, each.time.isoformat()],
        ):
            notes.append(each)
    if taken:
        with database.transaction():
            append(database, notes)
        for path in taken:
            path.unlink(missing_ok=True)
    return len(notes)


def _files(place: Place) -> list[Path]:
    spool = spool_of(place)
    return sorted(spool.glob("*.json")) if spool is not None and spool.is_dir() else []


def _note_in(path: Path) -> Note:
    told = json.loads(path.read_text("utf-8"))
    return Note(**{**told, "time": datetime.fromisoformat(told["time"]).astimezone(UTC)})
