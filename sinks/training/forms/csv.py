"""csv: comma-separated values (RFC 4180) in UTF-8, with a header line.

A cell is text alone, so: a null is an empty cell and an empty text is `""`; lists and structures are JSON in a cell;
times are ISO 8601 in UTC; booleans are true and false.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from personas.sql import identifier, literal
from sinks.database import Database
from sinks.training.form import Part, Rows
from sinks.training.forms.text import is_nested, is_time, listed, moment, translate
from sinks.training.task import Column


class CommaSeparated:
    """Implements Form."""

    name: ClassVar[str] = "csv"
    summary: ClassVar[str] = "Comma-separated values: lists are JSON in a cell, a null is an empty one"
    suffix: ClassVar[str | None] = ".csv"

    def objection(self, columns: Sequence[Column]) -> str:
        """See Form: what is no text is written as text."""
        return ""

    def write(self, database: Database, rows: Rows, target: Path) -> tuple[Part, ...]:
        """See Form."""
        return translate(database, rows, target, ".csv", _cell, "FORMAT csv, HEADER, DELIMITER ','")

    def read(self, database: Database, paths: Sequence[Path], columns: Sequence[Column]) -> pa.Table:
        """See Form. Cells are read as the types of `columns`."""
        types = ", ".join(
            f"{literal(column.name)}: {literal('VARCHAR' if is_nested(column) else column.type)}" for column in columns
        )
        chosen = ", ".join(_read(column) for column in columns)
        return database.query(
            f"SELECT {chosen} FROM read_csv({listed(paths)}, columns = {{{types}}}, header = true, delim = ',', "  # noqa: S608
            "quote = '\"', escape = '\"', auto_detect = false, allow_quoted_nulls = false, strict_mode = true)"
        )


def _cell(column: Column) -> str:
    name = identifier(column.name)
    if is_nested(column):
        return f"CASE WHEN {name} IS NOT NULL THEN to_json({name})::VARCHAR END"
    return moment(name) if is_time(column) else name


def _read(column: Column) -> str:
    name = identifier(column.name)
    if not is_nested(column):
        return name
    return f"CAST(CAST({name} AS JSON) AS {column.type}) AS {name}"
