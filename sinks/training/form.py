"""The words of forms: a training set that has been made as Parquet, and what writes it down in another way.

Two ways were weighed: each form asks the store for the rows and writes them as they come, or the rows are made once, as
Parquet, and a form translates those files. The second won: gates and papers look at one kind of file whatever the form,
a task's query runs once, and a form knows no store, no run and no split; it can be asked again at any time. What it
costs is reading the Parquet files once more, far less than making them.

Every form puts `columns.json` beside its files, so that whoever reads them knows what each column is for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from sinks.training.task import Column

if TYPE_CHECKING:
    import pyarrow as pa

    from sinks.database import Database

DATA = "data"
COLUMNS_FILE = "columns.json"


@dataclass(frozen=True)
class Part:
    """One file of a training set: its split, where it is (relative to the version's directory), and its rows."""

    split: str
    path: str
    rows: int


@dataclass(frozen=True)
class Rows:
    """A training set as Parquet files: what a form translates.

    `parts` are relative to `directory`, and together hold the rows with exactly `columns`. `items` is the product's
    catalogue (the columns of `chosen_items`, see task.py), for forms that keep it."""

    task: str
    product: str
    columns: tuple[Column, ...]
    directory: Path
    parts: tuple[Part, ...]
    items: pa.Table

    def paths(self, *splits: str) -> list[str]:
        """The Parquet files of these splits (of all where none is named), in the order of their rows."""
        return [str(self.directory / part.path) for part in self.parts if not splits or part.split in splits]


class Form(Protocol):
    """A way of writing a training set down. Implementations are found by registry.py; tests/contracts/form.py holds
    them to this.

    The same rows give the same bytes. What a form cannot hold is handled in one way, which its docstring tells."""

    name: ClassVar[str]
    summary: ClassVar[str]
    #: What its files under `data` end with; None where they cannot be read back as the rows they were.
    suffix: ClassVar[str | None]

    def objection(self, columns: Sequence[Column]) -> str:
        """Why rows with these columns cannot be written in this form; empty where they can."""
        ...

    def write(self, database: Database, rows: Rows, target: Path) -> tuple[Part, ...]:
        """Translate the rows into files under `target`/data, and give those that hold rows. Other files that belong to
        the form go where it wants them. The Parquet files are left as they are. `database` is one in memory."""
        ...

    def read(self, database: Database, paths: Sequence[Path], columns: Sequence[Column]) -> pa.Table:
        """The rows of the files of one split again, as they were. Only asked of a form with a `suffix`."""
        ...


def write_columns(directory: Path, columns: Sequence[Column]) -> None:
    """Write `columns.json`: name, role, SQL type and description of each column, in order."""
    text = json.dumps([asdict(column) for column in columns], ensure_ascii=False, indent=1)
    (directory / COLUMNS_FILE).write_text(f"{text}\n", encoding="utf-8")


def read_columns(directory: Path) -> tuple[Column, ...]:
    """What `write_columns` wrote; OSError and ValueError where it is not there or is something else."""
    return tuple(Column(**each) for each in json.loads((directory / COLUMNS_FILE).read_text("utf-8")))
