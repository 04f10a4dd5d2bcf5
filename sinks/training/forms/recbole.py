"""recbole: RecBole's atomic files, for tasks with an `item_id` per row: .inter by split, .user, .item, and a config.

Texts are tokens and may hold no tab, line end or double quote: each becomes a space; a null is an empty field. Numbers
are floats, a boolean 0 or 1, a moment its seconds since 1970 (UTC). A list is a sequence: its nulls are left out, and
spaces in its texts become `_`. The user's token is `<run_id>/<user_id>`, which alone names a user; what is the same for
all rows of a user is in .user. In one folder, named as the data set, as RecBole wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import yaml

from personas.errors import TrainingError
from personas.sql import identifier, literal
from sinks.database import Database
from sinks.training.form import DATA, Part, Rows
from sinks.training.forms.text import is_nested, is_time, listed
from sinks.training.split import SPLITS
from sinks.training.task import Column, names

#: Columns that are the same in all rows of a user, so they stand in .user, and how one is chosen of many.
_OF_USERS = {"run_id": "min", "origin": "min", "generator": "min", "generation": "max"}
_ITEM_COLUMNS = (
    Column("title", "feature", "VARCHAR[]", ""),
    Column("category", "feature", "VARCHAR", ""),
    Column("price", "feature", "DOUBLE", ""),
    Column("quality", "feature", "DOUBLE", ""),
    Column("launch_day", "feature", "INTEGER", ""),
)


class RecBole:
    """Implements Form."""

    name: ClassVar[str] = "recbole"
    summary: ClassVar[str] = "RecBole atomic files (.inter, .user, .item): tasks with an item_id"
    suffix: ClassVar[str | None] = None

    def objection(self, columns: Sequence[Column]) -> str:
        """See Form."""
        if not any(column.name == "item_id" for column in columns):
            return "its rows have no item_id, and RecBole is about users and items"
        bad = [column.name for column in columns if is_nested(column) and column.type not in _SEQUENCES]
        return f"{bad[0]} is a structure, and RecBole knows numbers, texts and sequences of them" if bad else ""

    def write(self, database: Database, rows: Rows, target: Path) -> tuple[Part, ...]:
        """See Form."""
        folder = target / DATA / rows.task
        folder.mkdir(parents=True, exist_ok=True)
        user = Column("user_id", "key", "VARCHAR", "")
        kept = [user, *(c for c in rows.columns if c.name not in _OF_USERS and c.name != "user_id")]
        parts = []
        for split in (split for split in SPLITS if rows.paths(split)):
            path = folder / f"{rows.task}.{split}.inter"
            count = _copy(database, kept, f"SELECT * REPLACE ({_USER} AS user_id) FROM {_from(rows, split)}", path)  # noqa: S608
            parts.append(Part(split, str(path.relative_to(target)), count))
        chosen = ", ".join(f"{how}({name}) AS {name}" for name, how in _OF_USERS.items())
        users = [user, *(column for column in rows.columns if column.name in _OF_USERS)]
        query = f"SELECT {_USER} AS user_id, {chosen} FROM {_from(rows)} GROUP BY ALL ORDER BY ALL"  # noqa: S608
        _copy(database, users, query, folder / f"{rows.task}.user")
        taken = {column.name for column in rows.columns}
        items = [
            Column("item_id", "key", "VARCHAR", ""),
            *(each for each in _ITEM_COLUMNS if each.name not in taken),
        ]
        with database.registered(rows.items):
            query = (
                r"SELECT * REPLACE (regexp_split_to_array(trim(title), '\s+') AS title) FROM incoming ORDER BY item_id"
            )
            _copy(database, items, query, folder / f"{rows.task}.item")
        config = _config(rows, [part.split for part in parts], {"inter": kept, "user": users, "item": items})
        (folder / f"{rows.task}.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return tuple(parts)

    def read(self, database: Database, paths: Sequence[Path], columns: Sequence[Column]) -> pa.Table:
        """Never: texts are changed in it. RecBole reads it."""
        raise TrainingError("RecBole's files do not keep all of a row.", hint="Read them with RecBole.")


_SEQUENCES = {"VARCHAR[]": "token_seq", "DOUBLE[]": "float_seq", "INTEGER[]": "float_seq", "BIGINT[]": "float_seq"}
_USER = "run_id || '/' || user_id"


def _from(rows: Rows, *splits: str) -> str:
    return f"read_parquet({listed(rows.paths(*splits))})"


def _kind(column: Column) -> str:
    return _SEQUENCES.get(column.type) or ("token" if column.type == "VARCHAR" else "float")


def _called(column: Column) -> str:
    return "timestamp" if column.role == "time" else column.name


def _copy(database: Database, columns: Iterable[Column], query: str, path: Path) -> int:
    """Write the columns of a query as one atomic file; how many rows there are."""
    chosen = ", ".join(f"{_value(each)} AS {identifier(f'{_called(each)}:{_kind(each)}')}" for each in columns)
    options = r"(FORMAT csv, HEADER, QUOTE '', DELIMITER '\t')"  # no value has a tab in it
    with database.speaking():
        return database.count(f"COPY (SELECT {chosen} FROM ({query})) TO {literal(str(path))} {options}")  # noqa: S608


def _value(column: Column) -> str:
    name = identifier(column.name)
    if column.type == "VARCHAR":
        return _clean(name)
    if column.type == "VARCHAR[]":
        return f"array_to_string([replace({_clean('x')}, ' ', '_') FOR x IN {name} IF x IS NOT NULL], ' ')"
    if column.type in _SEQUENCES:
        return f"array_to_string([CAST(x AS VARCHAR) FOR x IN {name} IF x IS NOT NULL], ' ')"
    if is_time(column):
        return f"epoch_us({name}) / 1000000"
    return f"CAST({name} AS INTEGER)" if column.type == "BOOLEAN" else name


def _clean(text: str) -> str:
    return rf"regexp_replace({text}, '[\t\r\n\"]', ' ', 'g')"


def _config(rows: Rows, splits: list[str], files: dict[str, list[Column]]) -> dict[str, Any]:
    """What RecBole has to be told; `data_path` is the folder in which this one is."""
    label = names(rows.columns, "label")[:1]
    told: dict[str, Any] = {
        "dataset": rows.task,
        "benchmark_filename": splits,
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "load_col": {kind: [_called(column) for column in columns] for kind, columns in files.items()},
    }
    return told | ({"LABEL_FIELD": label[0]} if label else {})
