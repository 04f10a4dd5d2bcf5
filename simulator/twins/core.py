"""Reads a core: from a file or table in somebody's words to a log in which nobody has a name.

    1. find its columns: those that the map names, or the usual names
    2. read times and names; set rows aside that lack what every row needs, and copies of rows; count them
    3. give events and items the product's names, where there is a product
    4. cut sessions where there are none; put numbers in the place of users and sessions
    5. say what was read, for the papers

Bad rows never take good ones along. No id of a user or session leaves this module: they become numbers, given
out in the order of a hash, and nothing that is fitted keeps even those.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from personas.core.columns import PASTE, columns_of, moment_of
from personas.core.mapping import CoreMap
from personas.core.source import DATABASES, READERS, Source, check_there, files_of, open_source
from personas.core.suggest import Habit, pasted, suggested_events
from personas.errors import CoreError
from personas.pack import Pack
from personas.sql import identifier, literal
from simulator.twins.ancestry import Ancestry, ancestry_of
from simulator.twins.database import Database
from simulator.twins.text_files import TEXTS, numbers_among, open_text

#: With more bad rows than this, it is the map that is wrong, and not the rows.
MOST_BAD = 0.5
_CHANGES = 0.02
_PLAIN = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
          "UBIGINT", "FLOAT", "DOUBLE", "VARCHAR")  # fmt: skip
_ENUM, _DECIMAL = "ENUM", "DECIMAL"
#: Columns of our own exports that say where rows come from, and are no behaviour.
_ORIGIN = ("synthetic", "generator", "generation", "run_id", "runid")

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Core:
    """A core that was read: its `log` (see `log`), what is to be told of it, and where it comes from."""

    log: pa.Table
    told: dict[str, Any]
    ancestry: Ancestry


def read_core(
    database: Database,
    given: str,
    mapping: CoreMap,
    *,
    pack: Pack | None = None,
    columns: Collection[str] | None = None,
    bad_rows: Path | None = None,
    progress: Progress = lambda step, share: None,
) -> Core:
    """The core at `given`. With a pack, its events and items have to be the pack's. `columns` are the further columns
    that are wanted (None: all that are plain values, or properties of the pack's events). Rows that are set aside are
    written to `bad_rows` (Parquet), with the reason. CoreError where nothing can be made of it."""
    progress("reading", 0.0)
    source, no_rows = _open(database, given)
    roles = columns_of(source, mapping, ("time", "event"))
    if "user_id" not in roles and "session_id" not in roles:
        columns_of(source, mapping)  # says what is missing
    more = _further(source, roles, mapping, pack, columns)
    untyped = tuple(more.values()) if source.relation == TEXTS else ()  # texts of Parquet are meant: a version 2.10
    source = numbers_among(database, source, [roles["time"], *_place(roles, "order")], untyped)
    _rows(database, source, roles, mapping, more)
    rows = database.value("SELECT count(*) FROM core_rows")
    if not rows:
        raise CoreError(f"{given}: there are no rows in it.", hint="A core has a row for each event of each user.")
    progress("checking", 0.3)
    aside = _set_aside(database, source, mapping, "order" in roles, bad_rows, rows)
    if no_rows:
        aside = {"no row at all": no_rows, **aside}
    left_out = _name_events(database, given, mapping, pack)
    _name_items(database, given, mapping, pack)
    progress("sessions", 0.6)
    _sessions(database, "session_id" in roles, mapping)
    log = _log(database, more)
    if not log.num_rows:
        raise CoreError(f"{given}: no row is left of {rows:,}.", hint="Look at what was set aside, and at the map.")
    progress("sessions", 1.0)
    told = {
        "files": list(source.files), "rows": rows + no_rows, "events": log.num_rows, "set_aside": aside,
        "left_out": left_out, "columns": roles, "further": sorted(more),
        "not_read": sorted({*source.columns} - {*roles.values(), *more.values(), *mapping.personal, *_ORIGIN}),
        "users_named": "user_id" in roles, "sessions_given": "session_id" in roles,
        **_span(database), "map": mapping.model_dump(mode="json", exclude_defaults=True),
    }  # fmt: skip
    return Core(log, told, ancestry_of(database, source, given))


def _place(roles: dict[str, str], role: str) -> list[str]:
    return [roles[role]] if role in roles else []


def _open(database: Database, given: str) -> tuple[Source, int]:
    """The source, and how many lines of it are no rows."""
    path = Path(given.partition("::")[0])
    check_there(path, given)
    if path.suffix not in DATABASES or path.is_dir():
        files = files_of(path, given)
        if files[0].suffix.lower() != ".parquet" and files[0].suffix.lower() in READERS:
            return open_text(database, files, given)
    return open_source(database, given, option=""), 0


def _further(
    source: Source, roles: dict[str, str], mapping: CoreMap, pack: Pack | None, wanted: Collection[str] | None
) -> dict[str, str]:
    """The further columns by the name that they get in the log."""
    taken = {*roles.values(), *mapping.personal, *_ORIGIN}
    plain = [
        name for name, kind in source.columns.items()
        if name not in taken and (kind in _PLAIN or kind.startswith((_ENUM, _DECIMAL)))
    ]  # fmt: skip
    found = {name: name for name in plain}
    if pack is not None:
        known = {name for event in pack.product.events.values() for name in event.properties}
        found = {name: name for name in plain if name in known and name != pack.product.item_property}
    found |= mapping.properties
    if "device" in roles:
        found["device"] = roles["device"]
    if wanted is not None:
        if odd := [name for name in wanted if name not in source.columns and name not in found]:
            raise CoreError(
                f"--columns: {source.said} has no column {odd[0]!r}.", hint=f"It has: {', '.join(source.columns)}."
            )
        found = {name: found.get(name, name) for name in wanted}
    reserved = {"user_id", "session_id", "ts", "event", "item_id", "step"}
    return {name: column for name, column in found.items() if name not in reserved}


def _rows(database: Database, source: Source, roles: dict[str, str], mapping: CoreMap, more: dict[str, str]) -> None:
    """core_rows: a row per row of the core, times in UTC, further columns as m0, m1, ..."""

    def text(role: str) -> str:
        return f"nullif(trim(CAST({identifier(roles[role])} AS VARCHAR)), '')" if role in roles else "NULL::VARCHAR"

    moment = moment_of(database, source, roles["time"], mapping.time)
    person = text("user_id") if "user_id" in roles else text("session_id")
    order = identifier(roles["order"]) if "order" in roles else "0"
    plain = [
        f"CAST({identifier(column)} AS {_kind(source.columns[column])}) AS m{place}"
        for place, column in enumerate(more.values())
    ]
    database.query(
        "CREATE OR REPLACE TEMP TABLE core_rows AS SELECT row_number() OVER () AS row, "  # noqa: S608 - quoted names
        f"{person} AS person, {text('session_id')} AS visit, {moment} AS time, {text('event')} AS event, "
        f"{text('item_id')} AS item, {order} AS tie, {text('time')} AS said_time{''.join(f', {one}' for one in plain)} "
        f"FROM {source.relation}"
    )


def _kind(kind: str) -> str:
    """Numbers as DOUBLE or BIGINT, truth values as they are, all else as text."""
    if kind in ("FLOAT", "DOUBLE") or kind.startswith(_DECIMAL) or kind == "HUGEINT":
        return "DOUBLE"
    return kind if kind == "BOOLEAN" else "BIGINT" if "INT" in kind else "VARCHAR"


def _set_aside(
    database: Database, source: Source, mapping: CoreMap, ordered: bool, bad_rows: Path | None, rows: int
) -> dict[str, int]:
    """Take the rows out that cannot be used, and say how many for which reason."""
    fine = ordered or database.value("SELECT bool_or(epoch_us(time) % 1000000 <> 0) FROM core_rows")
    copies = "false"
    if fine:  # then no two events are the same in everything; else somebody may have done the same twice in a second
        names = [row["column_name"] for row in database.query("DESCRIBE FROM core_rows").to_pylist()]
        same = ", ".join(name for name in names if name != "row")
        copies = f"row_number() OVER (PARTITION BY {same} ORDER BY row) > 1"
    visits = database.value("SELECT count(visit) > 0 FROM core_rows")
    database.query(
        "CREATE OR REPLACE TEMP TABLE core_aside AS FROM (SELECT row, CASE WHEN person IS NULL THEN 'no user' "  # noqa: S608
        "WHEN said_time IS NULL THEN 'no time' WHEN time IS NULL THEN 'a time that cannot be read' "
        "WHEN event IS NULL THEN 'no event' "
        f"WHEN {visits} AND visit IS NULL THEN 'no session' WHEN {copies} THEN 'a copy of another row' END AS reason "
        "FROM core_rows) WHERE reason IS NOT NULL"
    )
    counted = database.query("SELECT reason, count(*) AS n FROM core_aside GROUP BY reason ORDER BY reason").to_pylist()
    aside = {row["reason"]: row["n"] for row in counted}
    broken = sum(count for reason, count in aside.items() if reason != "a copy of another row")
    if bad_rows is not None:
        bad = "SELECT reason, core_rows.* FROM core_rows JOIN core_aside USING (row) ORDER BY row"
        database.query(f"COPY ({bad}) TO {literal(str(bad_rows))} (FORMAT parquet)")
    strict = "incomplete" in mapping.model_fields_set and mapping.incomplete == "refuse"
    if broken > MOST_BAD * rows or (broken and strict):
        example = database.query(
            "SELECT reason, said_time, row FROM core_rows JOIN core_aside USING (row) "
            "WHERE reason <> 'a copy of another row' ORDER BY row LIMIT 1"
        ).to_pylist()[0]
        listed = ", ".join(f"{count:,} have {reason}" for reason, count in aside.items())
        seen = f" (row {example['row']} has {example['reason']}" + (
            f": {example['said_time']!r})" if "read" in example["reason"] else ")"
        )
        raise CoreError(
            f"{source.said}: of {rows:,} rows {listed}{seen}.",
            hint="Say in the map which column is what, and how times are written (time: {format: ..., zone: ...}).",
        )
    database.query("DELETE FROM core_rows WHERE row IN (SELECT row FROM core_aside)")
    return aside


def _name_events(database: Database, given: str, mapping: CoreMap, pack: Pack | None) -> int:
    """Events by their names in the product; how many were left out because the map says so."""
    renamed = {name: new for name, new in mapping.events.items() if new is not None}
    gone = [name for name, new in mapping.events.items() if new is None]
    left_out = database.value("SELECT count(*) FROM core_rows WHERE list_contains(?::VARCHAR[], event)", [gone])
    database.query("DELETE FROM core_rows WHERE list_contains(?::VARCHAR[], event)", [gone])
    _rename(database, "event", renamed)
    if pack is None:
        return int(left_out)
    known = list(pack.product.events)
    if odd := {name: new for name, new in renamed.items() if new not in known}:
        said = "; ".join(f"--map: events.{name}: found {new!r}, which {pack.product.name} does not have"
                         for name, new in odd.items())  # fmt: skip
        raise CoreError(f"{said}.", hint=f"Events of {pack.product.name}: {', '.join(known)}.")
    strange = database.query(
        "SELECT event, count(*) AS rows FROM core_rows WHERE NOT list_contains(?::VARCHAR[], event) "
        "GROUP BY event ORDER BY rows DESC, event", [known],
    ).to_pylist()  # fmt: skip
    if strange:
        guess = suggested_events(_habits(database, [row["event"] for row in strange[:50]]), _declared(pack))
        listed = ", ".join(f"{row['event']} ({row['rows']:,})" for row in strange[:10])
        raise CoreError(
            f"{given}: {len(strange)} events that {pack.product.name} does not have: {listed}.\n  {PASTE}\n"
            + pasted(events={**mapping.events, **guess}),
            hint=f"null leaves an event out. Events of {pack.product.name}: {', '.join(known)}. "
            "Or let a product be made of the core: --new-pack DIR.",
        )
    return int(left_out)


def _habits(database: Database, names: list[str]) -> dict[str, Habit]:
    answer = database.query(
        "SELECT event, count(*) / sum(count(*)) OVER () AS share, avg(place) AS place FROM (SELECT event, "
        "percent_rank() OVER (PARTITION BY person, visit ORDER BY time, tie, row) AS place FROM core_rows) "
        "GROUP BY event"
    )
    found = {row["event"]: Habit(row["share"], row["place"]) for row in answer.to_pylist()}
    return {name: found[name] for name in names}


def _declared(pack: Pack) -> dict[str, Habit]:
    """Where the product's events stand, as far as its declaration tells: their weights, and the order of its funnel."""
    events, funnel = pack.product.events, list(pack.product.funnel)
    total = sum(event.weight for event in events.values()) or 1.0
    place = {name: (number + 1) / (len(funnel) + 1) for number, name in enumerate(funnel)}
    return {name: Habit(event.weight / total, place.get(name, 0.5)) for name, event in events.items()}


def _rename(database: Database, column: str, names: dict[str, str]) -> None:
    if names:
        table = pa.table({"old": list(names), "new": list(names.values())})
        database.register("core_names", table)
        change = f"UPDATE core_rows SET {column} = core_names.new FROM core_names "  # noqa: S608 - a column of ours
        database.query(f"{change} WHERE {column} = core_names.old")


def _name_items(database: Database, given: str, mapping: CoreMap, pack: Pack | None) -> None:
    """Items by their ids in the catalogue; those that it does not have as the map says."""
    _rename(database, "item", mapping.items.ids)
    if pack is None or mapping.items.unknown == "keep":
        return
    known = [item.id for item in pack.catalog.items]
    odd = database.query(
        "SELECT item, count(*) AS rows FROM core_rows WHERE item IS NOT NULL AND NOT list_contains(?::VARCHAR[], item) "
        "GROUP BY item ORDER BY rows DESC, item", [known],
    ).to_pylist()  # fmt: skip
    if odd and mapping.items.unknown == "refuse":
        listed = ", ".join(f"{row['item']} ({row['rows']:,} rows)" for row in odd[:5])
        raise CoreError(
            f"{given}: {len(odd):,} items that the catalogue of {pack.product.name} does not have: {listed}.\n"
            f"  {PASTE}\n" + pasted(items={"unknown": "empty"}),
            hint="empty leaves the event and drops the item, keep takes it as it is; items.ids renames.",
        )
    if odd:
        database.query("UPDATE core_rows SET item = NULL WHERE NOT list_contains(?::VARCHAR[], item)", [known])


def _sessions(database: Database, given: bool, mapping: CoreMap) -> None:
    """core_people and core_visits: a number for each user and session. Where nearly every session id is that of one
    user, ids are unique, and a session in which the user changes is that of its first row; else they count by user."""
    if not given:
        gap = round(mapping.session_gap_minutes * 60_000)
        database.query(
            "CREATE OR REPLACE TEMP TABLE core_rows AS SELECT * EXCLUDE (visit, opens), CAST(sum(opens) OVER "  # noqa: S608
            "(PARTITION BY person ORDER BY time, tie, row) AS VARCHAR) AS visit FROM (SELECT *, CASE WHEN time - "
            f"lag(time) OVER (PARTITION BY person ORDER BY time, tie, row) <= INTERVAL {gap} MILLISECONDS "
            "THEN 0 ELSE 1 END AS opens FROM core_rows)"
        )
    else:
        shared = database.value(
            "SELECT avg((people > 1)::INT) FROM (SELECT count(DISTINCT person) AS people FROM core_rows GROUP BY visit)"
        )
        if 0 < shared <= _CHANGES:
            database.query(
                "UPDATE core_rows SET person = first.person FROM (SELECT visit, arg_min(person, row) AS person "
                "FROM core_rows GROUP BY visit HAVING count(DISTINCT person) > 1) AS first "
                "WHERE core_rows.visit = first.visit"
            )
    database.query(
        "CREATE OR REPLACE TEMP TABLE core_people AS SELECT person, row_number() OVER (ORDER BY md5(person), "
        "person) - 1 AS number FROM (SELECT DISTINCT person FROM core_rows)"
    )
    database.query(
        "CREATE OR REPLACE TEMP TABLE core_visits AS SELECT person, visit, number, row_number() OVER (PARTITION BY "
        "person ORDER BY started, first) - 1 AS turn FROM (SELECT person, visit, min(time) AS started, min(row) AS "
        "first FROM core_rows GROUP BY person, visit) JOIN core_people USING (person)"
    )


def _log(database: Database, more: dict[str, str]) -> pa.Table:
    further = "".join(f", m{place} AS {identifier(name)}" for place, name in enumerate(more))
    return database.query(
        "SELECT CAST(number AS VARCHAR) AS user_id, number || '-' || turn AS session_id, "  # noqa: S608 - quoted names
        f"time AS ts, event, item AS item_id{further} FROM core_rows JOIN core_visits USING (person, visit) "
        "ORDER BY number, turn, time, tie, row"
    )


def _span(database: Database) -> dict[str, Any]:
    found: dict[str, Any] = database.query(
        "SELECT (SELECT count(*) FROM core_people) AS users, (SELECT count(*) FROM core_visits) AS sessions, "
        "strftime(min(time), '%Y-%m-%dT%H:%M:%SZ') AS first, strftime(max(time), '%Y-%m-%dT%H:%M:%SZ') AS last "
        "FROM core_rows"
    ).to_pylist()[0]
    return found
