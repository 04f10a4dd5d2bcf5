"""libsvm: `label index:value ...`, one row per line (indexes from 1), for tabular tasks; weights beside.

Holds one label (the first; a row where it is null is left out) and features that are numbers. So: a boolean is 0 or 1,
a moment its seconds since 1970 (UTC), a category a feature of its own, `device=mobile`, that is 1 where it holds. Zeros
are not written, and a null neither: a feature that can be null has another beside it, `price is null`. The names are in
`features.json`, the first is index 1; a label that is a text is the code of its category there. The weights are in
`<file>.weight`, one a line, where XGBoost and LightGBM look for them. Keys and origin are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from personas.errors import TrainingError
from personas.sql import identifier, literal
from sinks.database import Database
from sinks.training.form import DATA, Part, Rows
from sinks.training.forms import tabular
from sinks.training.forms.tabular import Field
from sinks.training.task import Column, names


class LibSvm:
    """Implements Form."""

    name: ClassVar[str] = "libsvm"
    summary: ClassVar[str] = "LibSVM: sparse numbers, one label, weights beside: tabular tasks"
    suffix: ClassVar[str | None] = None

    def objection(self, columns: Sequence[Column]) -> str:
        """See Form."""
        return tabular.objection(columns)

    def write(self, database: Database, rows: Rows, target: Path) -> tuple[Part, ...]:
        """See Form."""
        features = tabular.fields_of(database, rows, "feature")
        labels = tabular.fields_of(database, rows, "label")[:1]
        (target / DATA).mkdir(parents=True, exist_ok=True)
        with database.speaking():
            label = _number(database, labels[0], "label")
            terms = [f"CAST(CAST({label} AS DOUBLE) AS VARCHAR)", *_terms(database, features)]
            (weight,) = names(rows.columns, "weight")
            parts = [self._write(database, rows, part, target, terms, labels[0].name, weight) for part in rows.parts]
        tabular.write_fields(target, features, labels, indexes=list(_indexes(features)))
        return tuple(parts)

    def _write(
        self, database: Database, rows: Rows, part: Part, target: Path, terms: Sequence[str], label: str, weight: str
    ) -> Part:
        path = str(Path(part.path).with_suffix(".svm"))
        source = f"read_parquet({literal(str(rows.directory / part.path))}) WHERE {identifier(label)} IS NOT NULL"
        options = r"(FORMAT csv, HEADER false, QUOTE '', DELIMITER '\t')"  # no line has a tab in it
        count = 0
        for expression, file in (
            (f"concat_ws(' ', {', '.join(terms)})", target / path),
            (identifier(weight), target / f"{path}.weight"),
        ):
            statement = f"COPY (SELECT {expression} FROM {source}) TO {literal(str(file))} {options}"  # noqa: S608
            count = database.count(statement)
        return Part(part.split, path, count)

    def read(self, database: Database, paths: Sequence[Path], columns: Sequence[Column]) -> pa.Table:
        """Never: it keeps no keys. scikit-learn's load_svmlight_file reads the features."""
        raise TrainingError("LibSVM files do not keep all of a row.", hint="Read them with load_svmlight_file.")


def _indexes(features: Sequence[Field]) -> Iterator[str]:
    """The name of each index, from 1."""
    for field in features:
        if field.kind == "category":
            yield from (f"{field.name}={category}" for category in field.categories)
        else:
            yield field.name
        if field.nulls:
            yield f"{field.name} is null"


def _terms(database: Database, features: Sequence[Field]) -> Iterator[str]:
    """SQL for the `index:value` of each feature, in the order of indexes; null where there is none to write."""
    index = 1
    for number, field in enumerate(features):
        name, value = identifier(field.name), _number(database, field, f"feature_{number}")
        if field.kind == "category":
            yield f"({value} + {index}) || ':1'"
            index += len(field.categories)
        else:
            yield f"CASE WHEN {value} <> 0 THEN '{index}:' || CAST(CAST({value} AS DOUBLE) AS VARCHAR) END"
            index += 1
        if field.nulls:
            yield f"CASE WHEN {name} IS NULL THEN '{index}:1' END"
            index += 1


def _number(database: Database, field: Field, type_name: str) -> str:
    """SQL for a field as a number, null where it is null. Codes of categories come from a type made for them."""
    name = identifier(field.name)
    if field.kind == "category":
        if not field.categories:
            return "CAST(NULL AS INTEGER)"
        database.execute(f"DROP TYPE IF EXISTS {type_name}")
        database.execute(f"CREATE TYPE {type_name} AS ENUM ({', '.join(map(literal, field.categories))})")
        return f"CAST(enum_code(CAST({name} AS {type_name})) AS INTEGER)"
    if field.kind == "time":
        return f"(epoch_us({name}) / 1000000)"
    return f"CAST({name} AS INTEGER)" if field.kind == "boolean" else name
