"""parquet: the rows as they were made. Holds every value and type; what all other forms are translated from."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from sinks.database import Database
from sinks.training.form import DATA, Part, Rows
from sinks.training.task import Column


class ParquetForm:
    """Implements Form."""

    name: ClassVar[str] = "parquet"
    summary: ClassVar[str] = "Apache Parquet: all types, small and fast (the default)"
    suffix: ClassVar[str | None] = ".parquet"

    def objection(self, columns: Sequence[Column]) -> str:
        """See Form: there is nothing that it cannot hold."""
        return ""

    def write(self, database: Database, rows: Rows, target: Path) -> tuple[Part, ...]:
        """See Form. Files that are in their place already stay there."""
        (target / DATA).mkdir(parents=True, exist_ok=True)
        for part in rows.parts:
            if (rows.directory / part.path) != (target / part.path):
                shutil.copyfile(rows.directory / part.path, target / part.path)
        return rows.parts

    def read(self, database: Database, paths: Sequence[Path], columns: Sequence[Column]) -> pa.Table:
        """See Form."""
        return pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths])
