"""A SQLite file that several processes write at once: opened so that none of them fails because another opens it too.

Readers and a writer go on beside each other (write-ahead log), and a kill loses nothing. Changing a new file to that
log needs it for one process alone, and there SQLite does not wait as it does elsewhere, but fails at once with
"database is locked" (https://sqlite.org/wal.html, "Sometimes queries return SQLITE_BUSY in WAL mode"): so it is tried
again here until it is done, or `SECONDS` are over.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

#: So long another process may have the file for itself.
SECONDS = 30.0
_PAUSE = 0.01


def open_shared(path: Path, seconds: float = SECONDS) -> sqlite3.Connection:
    """The file, new or not, without transactions of Python's own. sqlite3.Error and OSError where that cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=seconds, isolation_level=None)
    try:
        _log_ahead(database, time.monotonic() + seconds)
        database.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power cut the last moments
    except BaseException:
        database.close()
        raise
    return database


def _log_ahead(database: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)
