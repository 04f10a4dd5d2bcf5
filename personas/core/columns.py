"""Which column of a core is what, and how its times are read.

Makes texts of SQL and asks a database only for what they depend on. Knows no event and no item.
"""

from __future__ import annotations

from collections.abc import Sequence

from personas.core.mapping import NEEDED, USUAL, CoreMap, Time
from personas.core.source import Database, Source
from personas.core.suggest import pasted, suggested_columns
from personas.errors import CoreError
from personas.sql import identifier, literal

PASTE = "Put this into a file, look it over, and give it with --map:"
_NUMBERS = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "HUGEINT")


def columns_of(source: Source, mapping: CoreMap, needed: Sequence[str] = NEEDED) -> dict[str, str]:
    """Which column of the core is what. CoreError, with a map to paste, where one that is needed cannot be found."""
    named = {role: name for role, name in mapping.columns.model_dump().items() if name}
    wanted = {**named, **{f"properties.{name}": column for name, column in mapping.properties.items()}}
    wanted.update({f"personal.{name}": name for name in mapping.personal})
    absent = {role: name for role, name in wanted.items() if name not in source.columns}
    usual = {
        role: next((name for name in names if name in source.columns), None)
        for role, names in USUAL.items()
        if role not in named
    }
    found = {**{role: name for role, name in usual.items() if name}, **named}
    missing = [role for role in needed if role not in found]
    if not (absent or missing):
        return found
    said = [f"the map names a column {name!r} for {role}" for role, name in absent.items()]
    said += [f"no column for {role} (looked for {' or '.join(USUAL[role])})" for role in missing]
    free = [name for name in source.columns if name not in found.values()]
    guess = {role: name for role, name in suggested_columns(free).items() if role not in found or role in absent}
    raise CoreError(
        f"{source.said}: {'; '.join(said)}. Its columns: {', '.join(source.columns)}.\n  {PASTE}\n"
        + pasted(columns={**guess, **{role: guess.get(role, "COLUMN") for role in missing}}),
        hint="A core needs users, times and events; items, sessions and devices where it has them.",
    )


def moment_of(store: Database, source: Source, column: str, wish: Time) -> str:
    """SQL that reads a time as TIMESTAMPTZ; null where it cannot be read."""
    kind, name = source.columns[column], identifier(column)
    zone = literal(wish.zone)
    units = {"epoch_s": 1e6, "epoch_ms": 1e3, "epoch_us": 1.0}
    if kind == "TIMESTAMP WITH TIME ZONE":
        return name
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"timezone({zone}, CAST({name} AS TIMESTAMP))"
    if kind.startswith(("U", *_NUMBERS)) or "INT" in kind:
        unit = wish.format or "epoch_us"
        if not wish.format:
            typical = store.query(f"SELECT median(abs({name})) AS n FROM {source.relation}").column(0)[0].as_py() or 0  # noqa: S608
            unit = "epoch_s" if typical < 1e11 else "epoch_ms" if typical < 1e14 else "epoch_us"
        if unit not in units:
            raise CoreError(
                f"{source.said}: the column {column} holds numbers, and time.format is {unit!r}.",
                hint=f"For numbers, time.format is one of {', '.join(units)}.",
            )
        return f"make_timestamptz(CAST({name} * {units[unit]} AS BIGINT))"
    if wish.format in units:
        return f"make_timestamptz(CAST(TRY_CAST({name} AS DOUBLE) * {units[wish.format]} AS BIGINT))"
    if wish.format:
        return f"timezone({zone}, CAST(try_strptime(CAST({name} AS VARCHAR), {literal(wish.format)}) AS TIMESTAMP))"
    return (
        rf"CASE WHEN regexp_matches(CAST({name} AS VARCHAR), ':\d\d(\.\d+)?\s*(Z|[+-]\d\d(:?\d\d)?)$') "
        f"THEN TRY_CAST({name} AS TIMESTAMPTZ) ELSE timezone({zone}, TRY_CAST({name} AS TIMESTAMP)) END"
    )
