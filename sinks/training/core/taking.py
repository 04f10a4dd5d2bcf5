"""A core becomes rows: the temporary tables core_events, core_sessions and core_words of the builder's connection.

    1. find its columns: those that the map names, or the usual names
    2. read times, names and items in the product's words; refuse what does not fit, and suggest a map
    3. give users and sessions other names (pseudonyms.py); derive sessions from gaps where there are none
    4. say what was read, for the papers

core_events and core_sessions have the columns of chosen_events and chosen_sessions without weights; `core_words` holds
the texts by which a person of the core could be known, for the gate on personal data alone. Columns that are neither
mapped nor properties of the product are not read at all. The store is not written. Knows no task, no split.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from personas.core.columns import PASTE, columns_of, moment_of
from personas.core.mapping import CoreMap
from personas.core.source import Source, open_source
from personas.core.suggest import Habit, pasted, suggested_events
from personas.errors import TrainingError
from personas.sql import identifier, literal
from sinks.training.core.pseudonyms import pads, pseudonym

if TYPE_CHECKING:
    from sinks.store import Store

RUN = "core"
GENERATOR = "people"


@dataclass(frozen=True)
class Core:
    """Where real data is, what it calls things, and the key that hides who its users are."""

    source: str
    key: bytes
    map: CoreMap = field(default_factory=CoreMap)


@dataclass(frozen=True)
class Taken:
    """What was read of a core: for the papers. `fingerprint` is that of the rows as they were put beside the others."""

    files: tuple[dict[str, Any], ...]
    users: int
    sessions: int
    events: int
    first: str
    last: str
    fingerprint: str


def make_tables(store: Store) -> None:
    """The tables of a core that is not there: empty, so that the relations can be the same with and without."""
    store.query(
        "CREATE OR REPLACE TEMP TABLE core_events (run_id VARCHAR, user_id VARCHAR, session_id VARCHAR, "
        "sequence INTEGER, time TIMESTAMPTZ, type VARCHAR, item_id VARCHAR, properties JSON, device VARCHAR)"
    )
    store.query(
        "CREATE OR REPLACE TEMP TABLE core_sessions (run_id VARCHAR, user_id VARCHAR, session_id VARCHAR, "
        "number INTEGER, started TIMESTAMPTZ, ended TIMESTAMPTZ, device VARCHAR, converted BOOLEAN, value DOUBLE, "
        "generator VARCHAR, generation INTEGER)"
    )
    store.query("CREATE OR REPLACE TEMP TABLE core_words (word VARCHAR, kind VARCHAR)")


def take(store: Store, core: Core, product: str) -> Taken:
    """Fill the tables from a core. TrainingError where it cannot be read, or does not speak the product's words."""
    make_tables(store)
    source = open_source(store, core.source)
    columns = columns_of(source, core.map)
    _read_rows(store, source, columns, core, product)
    _check_rows(store, core)
    _name_events(store, core, product)
    _name_items(store, core, product)
    _hide_people(store, source, columns, core)
    _fill_sessions(store, core, product)
    told = store.query(
        "SELECT count(DISTINCT user_id) AS users, count(DISTINCT session_id) AS sessions, count(*) AS events, "
        "coalesce(strftime(min(time), '%Y-%m-%dT%H:%M:%SZ'), '') AS first, "
        "coalesce(strftime(max(time), '%Y-%m-%dT%H:%M:%SZ'), '') AS last, "
        "sha256(concat_ws('/', count(*), sum(md5_number_lower(word)), sum(md5_number_upper(word)))) AS fingerprint "
        "FROM (SELECT *, to_json([user_id, session_id, sequence::VARCHAR, epoch_us(time)::VARCHAR, type, item_id, "
        "properties::VARCHAR])::VARCHAR AS word FROM core_events)"
    ).to_pylist()[0]
    if not told["events"]:
        raise TrainingError(f"--core {core.source} holds no events of {product}.", hint="Mend the file or the map.")
    return Taken(files=source.files, **told)


def _read_rows(store: Store, source: Source, columns: dict[str, str], core: Core, product: str) -> None:
    """core_rows: one row per row of the core, in the words of the core, times in UTC."""

    def text(role: str) -> str:
        return f"CAST({identifier(columns[role])} AS VARCHAR)" if role in columns else "CAST(NULL AS VARCHAR)"

    properties = _properties(store, source, columns, core, product)
    moment = moment_of(store, source, columns["time"], core.map.time)
    order = identifier(columns["order"]) if "order" in columns else "0"
    store.query(
        "CREATE OR REPLACE TEMP TABLE core_rows AS SELECT row_number() OVER () AS row, "  # noqa: S608
        f"{text('user_id')} AS person, {text('session_id')} AS visit, {moment} AS time, {text('event')} AS type, "
        f"{text('item_id')} AS item_id, {text('device')} AS device, {order} AS tie, {properties} AS properties, "
        f"{text('time')} IS NOT NULL AS timed FROM {source.relation}"
    )


def _properties(store: Store, source: Source, columns: dict[str, str], core: Core, product: str) -> str:
    """SQL for the JSON of a row's properties: mapped columns, and those that are called as a property of the product
    is. Absent values are absent properties."""
    known = store.query(
        "SELECT DISTINCT property FROM event_properties WHERE product = ? ORDER BY ALL", [product]
    ).column(0)
    same = {name: name for name in known.to_pylist() if name in source.columns and name not in columns.values()}
    taken = {**same, **core.map.properties}
    pairs = ", ".join(f"{literal(name)}, {identifier(column)}" for name, column in taken.items())
    own = f"json_object({pairs})" if pairs else "'{}'::JSON"
    given = (
        f"coalesce(CAST({identifier(columns['properties'])} AS JSON), '{{}}')" if "properties" in columns else "'{}'"
    )
    return f"json_merge_patch({given}, {own})"


def _check_rows(store: Store, core: Core) -> None:
    """Rows that lack what every row needs: refused, or left out where the map says so."""
    lacking = "person IS NULL OR time IS NULL OR type IS NULL OR (visit IS NULL AND EXISTS (FROM core_rows WHERE visit IS NOT NULL))"  # noqa: E501
    odd = store.query(
        "SELECT count(*) AS rows, min(row) AS first, count(*) FILTER (timed AND time IS NULL) AS unread, "  # noqa: S608
        f"count(*) FILTER (person IS NULL) AS nobody FROM core_rows WHERE {lacking}"
    ).to_pylist()[0]
    if odd["rows"] and core.map.incomplete == "refuse":
        raise TrainingError(
            f"--core {core.source}: {odd['rows']:,} rows lack a user, a time, an event or their session (the first is "
            f"row {odd['first']}); {odd['nobody']:,} have no user, {odd['unread']:,} a time that cannot be read.",
            hint="Mend them, say in the map how times are written (time: {format: ..., zone: ...}), or leave such rows "
            "out with `incomplete: drop`.",
        )
    store.query(f"DELETE FROM core_rows WHERE {lacking}")  # noqa: S608 - text of ours


def _name_events(store: Store, core: Core, product: str) -> None:
    """The product's names for events; a core with others is refused, with a map that can be pasted."""
    known = store.query(
        "SELECT type FROM event_types WHERE product = ? UNION "
        "SELECT DISTINCT type FROM events WHERE product = ? ORDER BY ALL", [product, product]
    ).column(0).to_pylist()  # fmt: skip
    odd = {name: new for name, new in core.map.events.items() if new is not None and new not in known}
    if odd:
        raise TrainingError(
            "; ".join(
                f"--map: events.{name}: found {new!r}, which {product} does not have" for name, new in odd.items()
            )
            + ".",
            hint=f"Events of {product}: {', '.join(known)}.",
        )
    for name, new in core.map.events.items():
        if new is None:
            store.query("DELETE FROM core_rows WHERE type = ?", [name])
        else:
            store.query("UPDATE core_rows SET type = ? WHERE type = ?", [new, name])
    found = {
        row["type"]: row["rows"]
        for row in store.query("SELECT type, count(*) AS rows FROM core_rows GROUP BY type ORDER BY rows DESC, type")
        .to_pylist()
    }  # fmt: skip
    strange = {name: rows for name, rows in found.items() if name not in known}
    if strange:
        visit = "coalesce(visit, person)"
        theirs = _habits(store, f"SELECT type, {visit} AS visit, time, tie, row FROM core_rows")  # noqa: S608
        ours = _habits(
            store,
            "SELECT type, run_id || session_id AS visit, time, sequence AS tie, 0 AS row FROM events "  # noqa: S608
            f"WHERE product = {literal(product)}",
        )
        ours = {name: ours.get(name, Habit(0, 0.5)) for name in known}
        guess = suggested_events({name: theirs[name] for name in list(strange)[:50]}, ours)
        listed = ", ".join(f"{name} ({rows:,})" for name, rows in list(strange.items())[:10])
        raise TrainingError(
            f"--core {core.source}: {len(strange)} events that {product} does not have: {listed}.\n  {PASTE}\n"
            + pasted(events={**core.map.events, **guess}),
            hint=f"null leaves an event out. Events of {product}: {', '.join(known)}.",
        )


def _habits(store: Store, rows: str) -> dict[str, Habit]:
    answer = store.query(
        "SELECT type, count(*) / sum(count(*)) OVER () AS share, avg(place) AS place FROM (SELECT type, "  # noqa: S608
        f"percent_rank() OVER (PARTITION BY visit ORDER BY time, tie, row) AS place FROM ({rows})) GROUP BY type"
    )
    return {row["type"]: Habit(row["share"], row["place"]) for row in answer.to_pylist()}


def _name_items(store: Store, core: Core, product: str) -> None:
    """The catalogue's ids; what to do with others is in the map."""
    wish = core.map.items
    for name, new in wish.ids.items():
        store.query("UPDATE core_rows SET item_id = ? WHERE item_id = ?", [new, name])
    unknown = "item_id IS NOT NULL AND item_id NOT IN (SELECT item_id FROM items WHERE product = ?)"
    if wish.unknown == "empty":
        store.query(f"UPDATE core_rows SET item_id = NULL WHERE {unknown}", [product])  # noqa: S608 - text of ours
    elif wish.unknown == "refuse":
        odd = store.query(
            f"SELECT item_id, count(*) AS rows FROM core_rows WHERE {unknown} GROUP BY ALL ORDER BY rows DESC, item_id",  # noqa: S608
            [product],
        ).to_pylist()
        if odd:
            listed = ", ".join(f"{row['item_id']} ({row['rows']:,} rows)" for row in odd[:5])
            raise TrainingError(
                f"--core {core.source}: {len(odd)} items that the catalogue of {product} does not have: {listed}.\n"
                f"  {PASTE}\n" + pasted(items={"unknown": "keep"}),
                hint="keep takes such items as they are, empty leaves the event and drops the item; items.ids renames.",
            )


def _hide_people(store: Store, source: Source, columns: dict[str, str], core: Core) -> None:
    """core_events, under pseudonyms and cut into sessions; and the words that must not turn up in texts."""
    for name, pad in zip(("core_inner", "core_outer"), pads(core.key), strict=True):
        store.query(f"SET VARIABLE {name} = ?", [pad])
    if "session_id" not in columns:
        gap = f"INTERVAL {round(core.map.session_gap_minutes * 60_000)} MILLISECONDS"
        store.query(
            "CREATE OR REPLACE TEMP TABLE core_rows AS SELECT * EXCLUDE (visit, opens), CAST(sum(opens) OVER "  # noqa: S608
            "(PARTITION BY person ORDER BY time, tie, row) AS VARCHAR) AS visit FROM (SELECT *, CASE WHEN time - "
            f"lag(time) OVER (PARTITION BY person ORDER BY time, tie, row) <= {gap} THEN 0 ELSE 1 END AS opens "
            "FROM core_rows)"
        )
    visit = pseudonym("person || '/' || visit", "core")
    store.query(
        "INSERT INTO core_events WITH people AS (SELECT person, visit, "  # noqa: S608 - text of ours
        f"{pseudonym('person', 'core')} AS user_id, {visit} AS session_id "
        "FROM (SELECT DISTINCT person, visit FROM core_rows)) "
        f"SELECT '{RUN}', user_id, session_id, row_number() OVER (PARTITION BY person, visit ORDER BY time, tie, row) "
        "- 1, time, type, item_id, properties, device FROM core_rows JOIN people USING (person, visit) "
        "ORDER BY user_id, time, tie, row"
    )
    store.query("INSERT INTO core_words SELECT DISTINCT person, 'identifier' FROM core_rows")
    for name in core.map.personal:
        store.query(
            f"INSERT INTO core_words SELECT DISTINCT trim(CAST({identifier(name)} AS VARCHAR)) AS word, "  # noqa: S608
            f"{literal(name)} FROM {source.relation} WHERE trim(CAST({identifier(name)} AS VARCHAR)) <> ''"
        )


def _fill_sessions(store: Store, core: Core, product: str) -> None:
    """core_sessions: what a product's own analytics would say of each session."""
    goal = core.map.conversion or _conversion(store, product)
    store.query(
        "INSERT INTO core_sessions SELECT run_id, user_id, session_id, row_number() OVER (PARTITION BY user_id ORDER "
        "BY started, session_id) - 1, started, ended, device, converted, value, ?, 0 FROM (SELECT run_id, user_id, "
        "session_id, min(time) AS started, max(time) AS ended, coalesce(arg_min(device, sequence), "
        "'unknown') AS device, bool_or(type = ?) AS converted, coalesce(sum(TRY_CAST(properties ->> '$.value' AS "
        "DOUBLE)) FILTER (type = ?), 0) AS value FROM core_events GROUP BY ALL) ORDER BY user_id, started, session_id",
        [GENERATOR, goal, goal],
    )
    store.query("DROP TABLE core_rows")


def _conversion(store: Store, product: str) -> str:
    """The event that the product lives on; empty where its pack was loaded by an older sink, which kept none."""
    found = store.query("SELECT type FROM event_types WHERE product = ? AND conversion ORDER BY type", [product])
    return str([*found.column(0).to_pylist(), ""][0])
