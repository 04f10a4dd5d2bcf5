"""The notice of a running sink: two small files beside the store that tell readers where to ask, and with what token.

`<store>.readers.json` is for `dayone sql`, `<store>.readers.sql` for any DuckDB: run it, and the store is attached as
`dayone`. Both can be read by their owner alone (mode 600) and are gone when the sink has ended. Knows files; not
DuckDB, not the network.

Whether a notice is stale, two ways considered. A look at the process id in it: wrong when the number was given to
another process since, or lives in another container. Chosen: the sink holds a lock (flock) on its notice as long as it
lives, and the system takes it away however the sink ends; a notice without a lock on it is stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from personas.errors import StoreError
from personas.sql import literal
from sinks.extensions import loading

#: What readers have to load to ask, in this order.
READER_EXTENSIONS = ("httpfs", "quack")


@dataclass(frozen=True)
class Notice:
    """Where a running sink answers readers (`host:port`), with which token, and which process it is."""

    address: str
    token: str = field(repr=False)
    pid: int
    started: str

    @property
    def uri(self) -> str:
        """The address as DuckDB wants it."""
        return f"quack:{self.address}"


def json_file(store: str) -> Path:
    """The notice for programs of ours."""
    return Path(f"{store}.readers.json")


def sql_file(store: str) -> Path:
    """The notice as SQL that attaches the store."""
    return Path(f"{store}.readers.sql")


class Posted:
    """A notice as long as it hangs; `remove` takes it down."""

    def __init__(self, store: str, notice: Notice) -> None:
        """Write both files. StoreError where that cannot be done."""
        self._files = (json_file(store), sql_file(store))
        try:
            self._lock = _private(self._files[0])
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            _fill(self._lock, json.dumps(asdict(notice)))
            sql = _private(self._files[1])
            _fill(sql, _attaching(notice))
            os.close(sql)
        except OSError as error:
            raise StoreError(f"{error.filename}: the notice for readers cannot be written: {error.strerror}") from error

    def remove(self) -> None:
        """Take the notice down."""
        for file in self._files:
            with contextlib.suppress(OSError):
                file.unlink()
        os.close(self._lock)


def find(store: str) -> Notice | None:
    """The notice of the sink that writes `store` right now; None where none runs, or it serves no readers."""
    try:
        with json_file(store).open(encoding="utf-8") as file:
            if _is_stale(file.fileno()):
                return None
            values: dict[str, Any] = json.load(file)
            return Notice(**values)
    except (OSError, ValueError, TypeError):  # not there, of another user, or being written this very moment
        return None


def _is_stale(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _private(file: Path) -> int:
    """The file opened for its owner alone, whatever it was before."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def _fill(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


_ABOUT = """\
-- Attaches the store of a running `dayone sink`, read-only, to a DuckDB of the version in the paths below.
-- FROM dayone.query('...') hands a whole statement to the sink, which answers it from one snapshot.
"""


def _attaching(notice: Notice) -> str:
    loads = "".join(f"{loading(name)};\n" for name in READER_EXTENSIONS)
    options = f"TYPE quack, TOKEN {literal(notice.token)}, READ_ONLY"
    return f"{_ABOUT}{loads}ATTACH OR REPLACE {literal(notice.uri)} AS dayone ({options});\n"
