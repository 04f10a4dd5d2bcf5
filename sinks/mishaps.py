"""What can go wrong with a database, in words for people: from DuckDB's errors to ours.

Knows the texts of the library's errors, not the library.
"""

from __future__ import annotations

from pathlib import Path

from personas.errors import LockedStoreError, StoreError

#: How DuckLake and its catalogues say that another process wrote at the same time.
_CONFLICTS = (
    "transaction conflict", "database is locked", "could not serialize", "conflict on update", "deadlock",
    "failed to initialize ducklake",  # two made the catalogue at once; who comes again finds it there
)  # fmt: skip


class Conflict(StoreError):
    """Another process wrote the same at the same time; this transaction lost, whole. It may be tried again."""


class Fenced(StoreError):
    """The store does not stand where this sink left it: another sink has written some of its partitions."""


def check_place(path: Path, read_only: bool) -> None:
    """StoreError where a database cannot be at `path`, in words that DuckDB does not have."""
    if read_only and not path.exists():
        raise StoreError(f"{path}: there is no database yet.", hint="Make one with `dayone demo`, or give --store.")
    if not path.parent.is_dir():
        raise StoreError(f"{path}: the directory {path.parent} does not exist.", hint=f"mkdir -p {path.parent}")
    if path.is_dir():
        raise StoreError(f"{path}: found a directory, expected a file.", hint="Give the path of a file with --store.")


def says_full(text: str) -> bool:
    """Whether an error's text means that the disk is full (or as full as we may make it)."""
    words = ("no space left", "file too large", "disk quota", "could not write", "disk is full")
    return any(word in text.lower() for word in words)


def explain(error: Exception, path: str) -> StoreError:
    """The error of ours for an error of DuckDB's."""
    text = str(error)
    low = text.lower()
    if any(word in low for word in _CONFLICTS):
        return Conflict(
            f"{path}: other processes write to it all the time; this one was never let in ({_last_line(text)}).",
            hint="What was committed is safe. Start the sink again; it goes on where the store stands.",
        )
    if path.startswith("ducklake:") and (lake := _explain_lake(text, low, path)) is not None:
        return lake
    if "lock" in low and ("conflicting" in low or "could not set lock" in low):
        return LockedStoreError(
            f"{path}: another process has the database open ({_holder(text)}). DuckDB lets one process in at a time.",
            hint="A running sink answers `dayone sql` (unless it was started with --no-serve). Otherwise wait until it "
            "ends or stop it with Ctrl-C, which loses nothing; started again, it goes on where it stopped.",
        )
    if "not a valid duckdb" in low or "does not exist in the file" in low or "corrupt" in low:
        return StoreError(f"{path}: not a DuckDB database ({text.splitlines()[0]})", hint="Give another --store.")
    if says_full(low):
        return StoreError(
            f"{path}: the disk is full; the last batch was rolled back, everything before it is safe.",
            hint="Free some space and start again; the sink goes on where it stopped.",
        )
    if "permission denied" in low or "read-only file system" in low or "cannot open file" in low:
        return StoreError(f"{path}: not writable ({text.splitlines()[0]})", hint="Give a --store where you may write.")
    return StoreError(f"{path}: {text}")


def _explain_lake(text: str, low: str, path: str) -> StoreError | None:
    """What can be wrong with a lake's catalogue."""
    last = _last_line(text)
    if "no snapshot found" in low:
        return StoreError(f"{path}: {last}.", hint="See which there are: dayone lake snapshots")
    if "password" in low:
        return StoreError(
            f"{path}: PostgreSQL wants another password ({last.rsplit('failed: ', maxsplit=1)[-1]}).",
            hint="Give it as DAYONE_STORE_PASSWORD, DAYONE_STORE_PASSWORD_FILE, PGPASSWORD or in ~/.pgpass.",
        )
    if "unable to connect to postgres" in low or "connection to server" in low:
        return StoreError(
            f"{path}: PostgreSQL does not let us in ({text.rsplit('failed: ', maxsplit=1)[-1].strip()}).",
            hint="Is it running, and is there such a database and user? Make one with `createdb`.",
        )
    if "file is not a database" in low or "not contain a valid ducklake" in low:
        return StoreError(f"{path}: this is no lake's catalogue ({last}).", hint="Give another --store.")
    if "does not match existing data path" in low:
        return StoreError(
            f"{path}: {text.splitlines()[0]}", hint="Leave the data path out: the catalogue knows where its files are."
        )
    return None


def _holder(text: str) -> str:
    """Who holds the lock, in DuckDB's own words."""
    start = text.find("PID")
    return text[start:].split(")", maxsplit=1)[0].strip() if start >= 0 else "its process is unknown"


def _last_line(text: str) -> str:
    """What DuckDB's innermost part had to say."""
    return text.strip().splitlines()[-1]
