"""Helpers of the forms that are lines of text: one file per Parquet file, written and read by DuckDB's SQL.

Knows no form. Times are ISO 8601 in UTC with microseconds, numbers the shortest text that reads as the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from personas.sql import identifier, literal
from sinks.database import Database
from sinks.training.form import DATA, Part, Rows
from sinks.training.task import Column

#: strftime of DuckDB; the connection's time zone is UTC.
ISO_8601 = "%Y-%m-%dT%H:%M:%S.%fZ"


def moment(column: str) -> str:
    """SQL for a time (a quoted column) as text."""
    return f"strftime({column}, '{ISO_8601}')"


def is_nested(column: Column) -> bool:
    """Whether a column's values are lists or structures."""
    return column.type.endswith("]") or column.type.upper().startswith(("STRUCT", "MAP"))


def is_time(column: Column) -> bool:
    """Whether a column's values are moments."""
    return column.type.upper() in ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")


def translate(
    database: Database, rows: Rows, target: Path, suffix: str, select: Callable[[Column], str], options: str
) -> tuple[Part, ...]:
    """Each Parquet file as a file of its own that ends with `suffix`: `select` gives the SQL of a column, `options`
    those of COPY. The rows stay in their order."""
    (target / DATA).mkdir(parents=True, exist_ok=True)
    chosen = ", ".join(f"{select(column)} AS {identifier(column.name)}" for column in rows.columns)
    parts = []
    for part in rows.parts:
        path = str(Path(part.path).with_suffix(suffix))
        source, into = literal(str(rows.directory / part.path)), literal(str(target / path))
        with database.speaking():
            database.execute(f"COPY (SELECT {chosen} FROM read_parquet({source})) TO {into} ({options})")  # noqa: S608
        parts.append(Part(part.split, path, part.rows))
    return tuple(parts)


def listed(paths: Sequence[Path | str]) -> str:
    """The paths as a list in SQL."""
    return f"[{', '.join(literal(str(path)) for path in paths)}]"
