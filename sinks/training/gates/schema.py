"""Gate: every column is what it was declared to be, and what every row needs is there."""

from __future__ import annotations

from typing import ClassVar

from personas.sql import identifier, literal
from sinks.training.gates.gate import Evidence, Found, Stage, worst
from sinks.training.task import Column

_ORIGINS = {
    "origin": ("core", "synthetic"),
    "generator": ("prior", "student", "tutor", "twin", "people"),
}


class SchemaGate:
    """Implements Gate."""

    name: ClassVar[str] = "schema"
    stage: ClassVar[Stage] = "rows"
    checks: ClassVar[str] = "columns and types as declared, no empty keys or times, finite numbers, known origins"
    unit: ClassVar[str] = "values that may not be"
    threshold: ClassVar[float] = 0.0

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """See Gate."""
        assert evidence.rows is not None
        described = evidence.rows.query("DESCRIBE SELECT * EXCLUDE (split_of_row) FROM made").to_pylist()
        types = {row["column_name"]: row["column_type"] for row in described}
        found = list(_shape(evidence.columns, types))
        checks = {
            (column.name, what): sql for column in evidence.columns if column.name in types
            for what, sql in _faults(column)
        }  # fmt: skip
        counts = ", ".join(f"count(*) FILTER ({sql}) AS c{number}" for number, sql in enumerate(checks.values()))
        answer = evidence.rows.query(f"SELECT {counts} FROM made").to_pylist()[0]  # noqa: S608 - names quoted
        for number, (name, what) in enumerate(checks):
            if rows := answer[f"c{number}"]:
                found.append(Found(name, float(rows), f"{rows:,} rows {what}"))
        return sum(each.figure for each in found), worst(found), ""


def _shape(columns: tuple[Column, ...], types: dict[str, str]) -> list[Found]:
    same = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE", "FLOAT8": "DOUBLE", "TEXT": "VARCHAR"}
    found = [Found(name, 1, "is not declared") for name in types.keys() - {column.name for column in columns}]
    for column in columns:
        wanted = same.get(column.type, column.type)
        if column.name not in types:
            found.append(Found(column.name, 1, "is missing"))
        elif types[column.name] != wanted and "(" not in wanted:
            found.append(Found(column.name, 1, f"has the type {types[column.name]}, declared {column.type}"))
    return found


def _faults(column: Column) -> list[tuple[str, str]]:
    """What may not be in a column, as words and as SQL that is true where it is."""
    name = identifier(column.name)
    faults = []
    if column.role in ("key", "time", "weight", "origin"):
        faults.append(("where it is empty", f"{name} IS NULL"))
    if column.type in ("DOUBLE", "FLOAT"):
        faults.append(("where it is infinite or not a number", f"NOT isfinite({name})"))
    if column.role == "weight":
        faults.append(("with a weight that is not above 0", f"{name} <= 0"))
    if column.name in _ORIGINS:
        known = ", ".join(map(literal, _ORIGINS[column.name]))
        faults.append((f"with another origin than {known}", f"{name} NOT IN ({known})"))
    if column.name == "generation":
        faults.append(
            ("whose generation does not fit their origin", f"({name} = 0) <> (origin = 'core') OR {name} < 0")
        )
    return faults
