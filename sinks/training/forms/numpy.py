"""numpy: one .npz file of arrays per Parquet file, for tabular tasks; nothing in it is pickled.

Arrays: `features` (rows × features) and `labels` (rows × labels), both float64, in the order of `features.json`, which
has their names and the categories; and every other column (keys, time, weight, origin) under its own name. A null is
NaN, a boolean 0 or 1, a moment its seconds since 1970 (UTC), a text the code of its category.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personas.sql import identifier
from sinks.database import Database
from sinks.training.form import DATA, Part, Rows
from sinks.training.forms import tabular
from sinks.training.forms.tabular import Field
from sinks.training.task import Column

_MICROSECONDS = 1_000_000


class Numpy:
    """Implements Form."""

    name: ClassVar[str] = "numpy"
    summary: ClassVar[str] = "NumPy arrays (.npz), with names and category codes beside: tabular tasks"
    suffix: ClassVar[str | None] = ".npz"

    def objection(self, columns: Sequence[Column]) -> str:
        """See Form."""
        return tabular.objection(columns)

    def write(self, database: Database, rows: Rows, target: Path) -> tuple[Part, ...]:
        """See Form."""
        features, labels = (tabular.fields_of(database, rows, role) for role in ("feature", "label"))
        (target / DATA).mkdir(parents=True, exist_ok=True)
        parts = []
        for part in rows.parts:
            table = pq.read_table(rows.directory / part.path, partitioning=None)
            arrays = {column.name: _array(table.column(column.name)) for column in _others(rows.columns)}
            path = str(Path(part.path).with_suffix(".npz"))
            np.savez_compressed(
                target / path,
                allow_pickle=False,
                features=_matrix(table, features),
                labels=_matrix(table, labels),
                **arrays,
            )
            parts.append(Part(part.split, path, part.rows))
        tabular.write_fields(target, features, labels)
        return tuple(parts)

    def read(self, database: Database, paths: Sequence[Path], columns: Sequence[Column]) -> pa.Table:
        """See Form."""
        fields = tabular.read_fields(paths[0].parent.parent)
        nulls = ", ".join(f"CAST(NULL AS {column.type}) AS {identifier(column.name)}" for column in columns)
        schema = database.query(f"SELECT {nulls} LIMIT 0").schema
        return pa.concat_tables([_table(path, schema, *fields) for path in paths])


def _others(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.role not in ("feature", "label")]


def _matrix(table: pa.Table, fields: Sequence[Field]) -> Any:
    matrix = np.empty((table.num_rows, len(fields)))
    for index, field in enumerate(fields):
        matrix[:, index] = _numbers(table.column(field.name), field)
    return matrix


def _numbers(column: pa.ChunkedArray, field: Field) -> Any:
    """A column as float64, NaN for null."""
    if field.kind == "category":
        column = pc.index_in(column, value_set=pa.array(field.categories, column.type))
    elif field.kind == "time":
        column = pc.divide(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).cast(pa.float64()), _MICROSECONDS)
    return column.cast(pa.float64(), safe=False).to_numpy()


def _array(column: pa.ChunkedArray) -> Any:
    """A column of keys, time, weight or origin as an array of its own type; these have no nulls."""
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=np.str_)
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy().view("datetime64[us]")
    return column.to_numpy()


def _table(path: Path, schema: pa.Schema, features: Sequence[Field], labels: Sequence[Field]) -> pa.Table:
    with np.load(path, allow_pickle=False) as arrays:
        known = {field.name: arrays["features"][:, index] for index, field in enumerate(features)} | {
            field.name: arrays["labels"][:, index] for index, field in enumerate(labels)
        }
        fields = {field.name: field for field in (*features, *labels)}
        columns = [
            _column(known[each.name], fields[each.name], each.type)
            if each.name in known
            else pa.array(arrays[each.name]).cast(each.type)
            for each in schema
        ]
    return pa.table(columns, schema=schema)


def _column(numbers: Any, field: Field, wanted: pa.DataType) -> pa.Array:
    """What `_numbers` made numbers of."""
    column = pa.array(numbers, from_pandas=True)  # NaN is null
    if field.kind == "category":
        return pa.array(field.categories, pa.string()).take(column.cast(pa.int64())).cast(wanted)
    if field.kind == "time":
        return pc.round(pc.multiply(column, _MICROSECONDS)).cast(pa.int64()).cast(wanted)
    return column.cast(pa.int64()).cast(wanted) if field.kind == "boolean" else column.cast(wanted)
