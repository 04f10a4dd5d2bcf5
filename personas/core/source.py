"""Where a core lies: Parquet, CSV or JSON-lines files, a directory of them, or a table of a DuckDB file.

Makes one SQL text that reads it (for DuckDB, which each room asks in its own way), and says which files were read, with
their SHA-256. Knows no column.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from personas.errors import CoreError, StoreError
from personas.sql import identifier, literal

if TYPE_CHECKING:
    import pyarrow


class Database(Protocol):
    """What is asked of a database: an open one of either room. `path` is its file."""

    path: str

    def query(self, sql: str, parameters: list[Any] | None = None) -> pyarrow.Table:
        """The answer as an Arrow table; StoreError on a mistake."""
        ...


READERS = {
    ".parquet": "read_parquet([{files}], union_by_name = true)",
    ".csv": "read_csv([{files}], union_by_name = true, sample_size = -1)",
    ".jsonl": "read_json([{files}], format = 'newline_delimited', union_by_name = true)",
    ".ndjson": "read_json([{files}], format = 'newline_delimited', union_by_name = true)",
}
DATABASES = (".duckdb", ".db", ".ddb")
_KINDS = "a .parquet, .csv, .jsonl or .ndjson file, a directory of one of these, or FILE.duckdb::TABLE"


@dataclass(frozen=True)
class Source:
    """A core that can be read: SQL for all of its rows, its columns with their SQL types, its files, and how the user
    called it, for messages."""

    relation: str
    columns: dict[str, str]
    files: tuple[dict[str, Any], ...]
    said: str = ""


def open_source(store: Database, given: str, option: str = "--core ") -> Source:
    """The core at `given`, which was said with this option. CoreError where there is none that can be read."""
    name, _, table = given.partition("::")
    said = f"{option}{name}"
    path = Path(name)
    check_there(path, said)
    if path.suffix in DATABASES and path.is_file():
        relation, files = _table(store, path, table, said), [path]
    else:
        files = files_of(path, said)
        template = READERS[files[0].suffix.lower()]
        relation = template.format(files=", ".join(literal(str(file)) for file in files))
    try:
        described = store.query(f"DESCRIBE FROM {relation}").to_pylist()
    except StoreError as error:
        raise CoreError(f"{option}{given} cannot be read: {error}", hint=f"Give {_KINDS}.") from error
    columns = {row["column_name"]: row["column_type"] for row in described}
    return Source(relation, columns, tuple(map(summed, files)), f"{option}{given}")


def check_there(path: Path, said: str) -> None:
    """CoreError where there is nothing at the path."""
    if not path.exists():
        raise CoreError(f"{said}: there is no such file or directory.", hint=f"Give {_KINDS}.")


def files_of(path: Path, said: str) -> list[Path]:
    """The files at a path, all of one kind: itself, or those in the directory. CoreError where there are none."""
    if path.is_file():
        found = [path]
    else:
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in READERS and file.is_file())
    kinds = {file.suffix.lower() for file in found}
    if len(kinds) != 1 or not kinds <= set(READERS):
        found_kinds = "files of several kinds: " + ", ".join(sorted(kinds)) if kinds else "no file that can be read"
        raise CoreError(f"{said}: found {found_kinds}.", hint=f"Give {_KINDS}.")
    return found


def _table(store: Database, path: Path, table: str, said: str) -> str:
    """The quoted name of a table of a DuckDB file, which is attached read-only; of the store itself, just the name."""
    same = Path(store.path).exists() and Path(store.path).resolve() == path.resolve()
    database = "" if same else "core_database."
    try:
        if not same:
            store.query("DETACH DATABASE IF EXISTS core_database")
            store.query(f"ATTACH {literal(str(path))} AS core_database (READ_ONLY)")
        where = "database_name = current_database()" if same else "database_name = 'core_database'"
        found = store.query(
            f"SELECT table_name FROM duckdb_tables() WHERE {where} ORDER BY ALL"  # noqa: S608 - a choice of ours
        )
    except StoreError as error:
        raise CoreError(f"{said} cannot be read: {error}", hint=f"Give {_KINDS}.") from error
    names = found.column(0).to_pylist()
    if not table and len(names) == 1:
        table = names[0]
    if table not in names:
        what = f"no table {table!r}" if table else f"{len(names)} tables"
        raise CoreError(
            f"{said}: found {what}; its tables: {', '.join(names) or 'none'}.",
            hint=f"Name one: {said}::TABLE",
        )
    return f"{database}{identifier(table)}"


def summed(path: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()}
