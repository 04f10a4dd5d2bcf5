"""Helpers of the forms that are tables of numbers: what each feature and label is, and which categories it has.

Knows no form. A text is a category. Its code is its place in `categories`: those of train first, in the order of their
bytes, then those that train has not, so that a code of `in_train` or more is one that no model can have learned.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from personas.sql import identifier
from sinks.database import Database
from sinks.training.form import Rows
from sinks.training.forms.text import is_nested, is_time, listed
from sinks.training.task import Column, Role

FEATURES_FILE = "features.json"


@dataclass(frozen=True)
class Field:
    """A feature or label as numbers. `categories` where it is a text; `nulls` tells whether any row has none."""

    name: str
    kind: Literal["number", "boolean", "time", "category"]
    nulls: bool
    categories: tuple[str, ...] = ()
    in_train: int = 0


def objection(columns: Sequence[Column]) -> str:
    """Why rows with these columns are no table of numbers; empty where they are."""
    for column in columns:
        if column.role in ("feature", "label") and is_nested(column):
            return (
                f"the {column.role} {column.name} is a list or a structure ({column.type}), not one number or category"
            )
    for role in ("feature", "label"):
        if not any(column.role == role for column in columns):
            return f"there is no {role}"
    return ""


def fields_of(database: Database, rows: Rows, role: Role) -> tuple[Field, ...]:
    """What the columns of a role are, from all rows of all splits."""
    return tuple(_field(database, rows, column) for column in rows.columns if column.role == role)


def _field(database: Database, rows: Rows, column: Column) -> Field:
    everything = f"read_parquet({listed(rows.paths())})"
    name = identifier(column.name)
    with database.speaking():
        nulls = database.count(f"SELECT count(*) FROM {everything} WHERE {name} IS NULL") > 0  # noqa: S608
    if column.type != "VARCHAR":
        kind: Literal["boolean", "time", "number"] = "boolean" if column.type == "BOOLEAN" else "number"
        return Field(column.name, "time" if is_time(column) else kind, nulls)
    known = _values(database, rows.paths("train"), name)
    others = sorted(set(_values(database, rows.paths(), name)) - set(known), key=str.encode)
    return Field(column.name, "category", nulls, (*known, *others), len(known))


def _values(database: Database, paths: Sequence[str], name: str) -> list[str]:
    if not paths:
        return []
    source = f"read_parquet({listed(paths)})"
    with database.speaking():
        found = database.execute(f"SELECT DISTINCT {name} FROM {source} WHERE {name} IS NOT NULL")  # noqa: S608
    return sorted((row[0] for row in found), key=str.encode)


def write_fields(target: Path, features: Sequence[Field], labels: Sequence[Field], **more: object) -> None:
    """Write `features.json`: the fields in the order of their columns, and whatever else a form needs."""
    told = {"features": [asdict(each) for each in features], "labels": [asdict(each) for each in labels], **more}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    (target / FEATURES_FILE).write_text(f"{text}\n", encoding="utf-8")


def read_fields(target: Path) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Features and labels that `write_fields` wrote."""
    told = json.loads((target / FEATURES_FILE).read_text("utf-8"))
    features, labels = (
        tuple(Field(**{**each, "categories": tuple(each["categories"])}) for each in told[role])
        for role in ("features", "labels")
    )
    return features, labels
