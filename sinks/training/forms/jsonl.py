"""jsonl: JSON lines, one object per row. Lists are lists, nulls are null, times are ISO 8601 text in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from personas.sql import identifier, literal
from sinks.database import Database
from sinks.training.form import Part, Rows
from sinks.training.forms.text import is_time, listed, moment, translate
from sinks.training.task import Column


class JsonLines:
    """Implements Form."""

    name: ClassVar[str] = "jsonl"
    summary: ClassVar[str] = "JSON lines: one object per row, lists as lists"
    suffix: ClassVar[str | None] = ".jsonl"

    def objection(self, columns: Sequence[Column]) -> str:
        """See Form: there is nothing that it cannot hold."""
        return ""

    def write(self, database: Database, rows: Rows, target: Path) -> tuple[Part, ...]:
        """See Form."""
        return translate(database, rows, target, ".jsonl", _value, "FORMAT json")

    def read(self, database: Database, paths: Sequence[Path], columns: Sequence[Column]) -> pa.Table:
        """See Form. Values are read as the types of `columns`."""
        types = ", ".join(f"{literal(column.name)}: {literal(column.type)}" for column in columns)
        return database.query(f"FROM read_json({listed(paths)}, columns = {{{types}}}, format = 'newline_delimited')")


def _value(column: Column) -> str:
    name = identifier(column.name)
    return moment(name) if is_time(column) else name
