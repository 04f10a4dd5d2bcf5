"""Whether stored sessions keep the rules of their product, judged from the stored stream alone, in one SQL query.

The rules (where an event is legal, what it requires of which counter, which item it may be about) come from the
product's declaration; the state before every event is recomputed from the events before it in its session, by window
functions. So it is a second opinion on whoever made the events: nothing is shared with the simulator.
Two ways were weighed: replaying each session in Python (easy, 20 k events/s, and one more engine that could be wrong
in the same way), or windows in SQL (a million events in seconds, next to the data). Knows tables and products; only a
`Store` runs what is built here.

What is not in the stream is not judged: an item whose event does not tell its id, a slate that is not listed.
Twins may have several sessions at a time, as the people had that they were learnt from (two tabs, three open tickets).
Counters with negative effects are held between 0 and their limit step by step, all others by sums since their last
clear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from personas.product import BUILT_IN_COUNTERS, NO_LIMIT, EventSpec, Product

if TYPE_CHECKING:
    import pyarrow

#: Everything that can be found. `counter` is told with the name of the counter: `counter bag`.
KINDS = (
    "unknown event", "screen", "counter", "slate item", "slate position", "item in focus", "item in bag",
    "sequence", "time", "overlap",
)  # fmt: skip

Query = Callable[[str, list[Any]], "pyarrow.Table"]


@dataclass(frozen=True)
class Violation:
    """An event that breaks a rule: which event, which rule (see `KINDS`) and what was found."""

    session_id: str
    user_id: str
    sequence: int
    type: str
    kind: str
    found: str


@dataclass
class _Statement:
    """SQL under construction: every value is bound, in the order in which its place comes in the text."""

    parts: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def add(self, text: str, *values: Any) -> None:
        self.parts.append(text)
        self.parameters.extend(values)


def violations(query: Query, product: Product, run_id: str) -> list[Violation]:
    """Every violation in a run, in the order of sessions and events. `query` is `Store.query`; StoreError as there."""
    sql, parameters = violations_sql(product, run_id)
    return [Violation(**row) for row in query(sql, parameters).to_pylist()]


def violations_sql(product: Product, run_id: str) -> tuple[str, list[Any]]:
    """The query and its parameters: one row per violation, with the columns of `Violation`."""
    statement = _Statement()
    counters = list(product.counters)
    _rules(statement, product, counters)
    _facts(statement, product, counters, run_id)
    _states(statement, product, counters)
    _judgement(statement, list(product.screens), counters)
    return "\n".join(statement.parts), statement.parameters


def _columns(counters: Iterable[str]) -> list[str]:
    """The columns of the rules: one row per event type. Screens are numbered in the product's order, declared counters
    are c0, c1, ...; a bound that is not set is null."""
    fixed = ["type", "screens", "target", "item_mode", "slate_mode", "unfocuses", "added", "empties"]
    fixed += ["list_path", "position_path", "item_path"]
    bounds = [f"{name}_{end}" for name in BUILT_IN_COUNTERS for end in ("low", "high")]
    own = [f"c{n}_{what}" for n, _ in enumerate(counters) for what in ("step", "clears", "low", "high")]
    return fixed + bounds + own


def _rules(statement: _Statement, product: Product, counters: list[str]) -> None:
    screens = list(product.screens)
    rows = []
    for name, event in product.events.items():
        row: list[Any] = [
            name, [screens.index(screen) for screen in event.on], None if event.to is None else screens.index(event.to),
            event.item or "none", "none" if event.slate is None else event.page, "focus" in event.clear,
            {"add": 1, "remove": -1}.get(event.bag or "", 0), event.bag == "empty",
            *(_property(event, source) for source in ("slate.items", "position", "item.id")),
        ]  # fmt: skip
        bounds = product.bounds(name)

        def ends(counter: str, bounds: dict[str, tuple[int, int]] = bounds) -> list[int | None]:
            low, high = bounds.get(counter, (0, NO_LIMIT))
            return [low or None, None if high >= NO_LIMIT else high]

        for counter in BUILT_IN_COUNTERS:
            row += ends(counter)
        for counter in counters:
            row += [event.effects.get(counter, 0), counter in event.clear, *ends(counter)]
        rows.append(row)
    columns = _columns(counters)
    places = f"({', '.join('?' for _ in columns)})"
    statement.add(f"WITH rules({', '.join(columns)}) AS MATERIALIZED (VALUES")
    statement.add(",\n".join(places for _ in rows), *(value for row in rows for value in row))
    statement.add("),")


def _property(event: EventSpec, source: str) -> str | None:
    """The property that tells this of the situation."""
    return next((name for name, spec in event.properties.items() if spec.source == source), None)


def _told(statement: _Statement, product: Product, source: str, column: str, kind: str) -> None:
    """A column with what the events tell of the source, null where they do not."""
    names = {name for event in product.events.values() if (name := _property(event, source))}
    if not names:
        statement.add(f"CAST(NULL AS {kind})")
        return
    statement.add("CASE")
    for name in sorted(names):
        extract = "json_extract_string" if kind == "VARCHAR" else "json_extract"
        statement.add(f"WHEN rules.{column} = ? THEN CAST({extract}(properties, ?) AS {kind})", name, f'$."{name}"')
    statement.add("END")


def _facts(statement: _Statement, product: Product, counters: list[str], run_id: str) -> None:
    """The events of the run in small numbers, with what each does to the counters. Sessions and items are numbered:
    windows over integers are several times as fast. An item that its event does not tell has the number 0."""
    statement.add("told AS MATERIALIZED (SELECT row_number() OVER () AS place, session_id, sequence, user_id, time,")
    statement.add("event.type, event.generator,")
    _told(statement, product, "slate.items", "list_path", "VARCHAR[]")
    statement.add("AS list,")
    _told(statement, product, "item.id", "item_path", "VARCHAR")
    statement.add("AS item,")
    _told(statement, product, "position", "position_path", "INTEGER")
    statement.add("AS position FROM events AS event LEFT JOIN rules USING (type) WHERE run_id = ?),", run_id)
    statement.add(
        "turns AS MATERIALIZED (SELECT session_id, row_number() OVER () AS session, min(time) AS began, max(max(time)) "
        "OVER (PARTITION BY user_id ORDER BY min(time), session_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) "
        "AS ended_before FROM told GROUP BY session_id, user_id),"
    )
    statement.add("things AS MATERIALIZED (SELECT item, row_number() OVER () AS thing")
    statement.add("FROM (SELECT DISTINCT item FROM told WHERE item IS NOT NULL)),")
    steps = [f"coalesce(c{n}_step, 0) AS c{n}_step," for n, _ in enumerate(counters)]
    clears = [f"coalesce(c{n}_clears, false) AS c{n}_clears," for n, _ in enumerate(counters)]
    statement.add("facts AS MATERIALIZED (SELECT session, place, sequence, CAST(epoch_us(time) AS BIGINT) AS moment,")
    statement.add("target, item_mode, coalesce(thing, 0) AS thing, unfocuses, coalesce(added, 0) AS added, empties,")
    statement.add(f"slate_mode, {' '.join(steps + clears)}")
    statement.add("CASE WHEN slate_mode = 'next' THEN 1 ELSE 0 END AS turned, coalesce(len(list), -1) AS listed")
    statement.add("FROM told JOIN turns USING (session_id) LEFT JOIN rules USING (type)")
    statement.add("LEFT JOIN things USING (item)),")


def _latest(when: str, what: str, otherwise: str) -> str:
    """What held at the latest event before this one at which something was so: the greatest of place and value in one
    number, which is much faster than last_value(... IGNORE NULLS). Values lie between -1000000 and 2**31."""
    packed = f"max(CASE WHEN {when} THEN sequence * 4294967296 + ({what}) + 1000000 END) OVER before"
    return f"coalesce({packed} % 4294967296 - 1000000, {otherwise})"


_BEFORE = (
    "WINDOW upto AS (PARTITION BY session ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), "
    "before AS (PARTITION BY session ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
)
_SHOWS = "slate_mode <> 'none'"


def _states(statement: _Statement, product: Product, counters: list[str]) -> None:
    """What holds before each event: running sums first, then how far they have come since the latest reset."""
    stepwise = {n for n, c in enumerate(counters) if any(e.effects.get(c, 0) < 0 for e in product.events.values())}
    own = [f"c{n}" for n, _ in enumerate(counters)]
    steps = {"bag": "added", "page": "turned", **{name: f"{name}_step" for name in own}}
    resets = {"bag": "empties", "page": "slate_mode = 'first'", **{name: f"{name}_clears" for name in own}}
    sums = [f"CAST(sum({step}) OVER upto AS BIGINT) AS {name}_sum" for name, step in steps.items()]
    statement.add(f"summed AS (SELECT *, {', '.join(sums)} FROM facts {_BEFORE}),")  # noqa: S608 - names of ours
    start = list(product.screens).index(product.start)
    statement.add("states AS MATERIALIZED (SELECT session, place, sequence, moment, item_mode, thing, added,")
    statement.add(f"{_latest('target IS NOT NULL', 'target', '?')} AS screen,", start)
    statement.add(f"{_latest(_MOVES_FOCUS, _HELD, '-1')} AS held,")
    statement.add(f"CASE WHEN item_mode = 'slate' THEN {_latest(_SHOWS, 'sequence', '-1')} END AS chosen_from,")
    statement.add(f"{_latest(_SHOWS, 'listed', '0')} AS shown,")
    statement.add("lag(sequence) OVER each AS sequence_before, lag(moment) OVER each AS moment_before,")
    statement.add("coalesce(sum(CASE WHEN empties THEN 1 ELSE 0 END) OVER before, 0) AS bag_epoch")
    for name, step in steps.items():
        since = f"{name}_sum - {step} - {_latest(resets[name], f'{name}_sum', '0')}"
        number = int(name[1:]) if name not in ("bag", "page") else -1
        if number in stepwise:
            held = f"list(CASE WHEN {name}_clears THEN -1000000 ELSE {name}_step END) OVER before"
            fold = "lambda held, step: greatest(0, least(?, held + step))"
            limit = product.counters[counters[number]]
            statement.add(f", coalesce(list_reduce(list_prepend(0, {held}), {fold}), 0) AS {name}", limit)
        elif number >= 0:
            statement.add(f", least(?, {since}) AS {name}", product.counters[counters[number]])
        else:
            statement.add(f", {since} AS {name}")
    statement.add(f"FROM summed {_BEFORE}, each AS (PARTITION BY session ORDER BY sequence)),")
    # The bag is a stack: what lies on top was put in when the bag held one thing less, as the last one to do so.
    statement.add(
        "stacked AS (SELECT place, CAST("
        "max(CASE WHEN added = 1 THEN sequence * 4294967296 + thing END) OVER (PARTITION BY session, bag_epoch, "
        "CASE WHEN added = 1 THEN bag ELSE bag - 1 END ORDER BY sequence "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) % 4294967296 AS BIGINT) AS top "
        "FROM states WHERE added = 1 OR item_mode = 'bag'),"
    )


_MOVES_FOCUS = "item_mode <> 'none' OR unfocuses"
_HELD = "CASE WHEN item_mode <> 'none' THEN thing ELSE -1 END"


def _judgement(statement: _Statement, screens: list[str], counters: list[str]) -> None:
    """The rules one by one: when an event breaks it, its name, and what was found."""
    cases = [
        ("target IS NULL AND screens IS NULL", "unknown event", "told.type"),
        ("NOT list_contains(screens, screen)", "screen", "CAST(? AS VARCHAR[])[screen + 1]"),
        ("told.item IS NOT NULL AND NOT list_contains(slate.list, told.item)", "slate item", "told.item"),
        (
            "list_contains(slate.list, told.item) AND slate.list[told.position] IS DISTINCT FROM told.item "
            "AND told.position IS NOT NULL",
            "slate position", "told.position",
        ),
        ("state.item_mode = 'focus' AND thing > 0 AND held > 0 AND held <> thing", "item in focus", "told.item"),
        ("state.item_mode = 'bag' AND thing > 0 AND top > 0 AND top <> thing", "item in bag", "told.item"),
        ("state.sequence <> coalesce(sequence_before, -1) + 1", "sequence", "sequence_before"),
        ("moment < moment_before", "time", "told.time"),
        ("sequence_before IS NULL AND began <= ended_before AND told.generator <> 'twin'", "overlap", "ended_before"),
    ]  # fmt: skip
    values = {"focus": "CASE WHEN held >= 0 THEN 1 ELSE 0 END", "shown": "nullif(shown, -1)"}
    values |= {"bag": "bag", "page": "page"}
    values |= {f"c{n}": f"c{n}" for n, _ in enumerate(counters)}
    names = {f"c{n}": counter for n, counter in enumerate(counters)}
    for name, value in values.items():
        cases.append((f"{value} < {name}_low OR {value} > {name}_high", f"counter {names.get(name, name)}", value))
    statement.add("judged AS (SELECT told.session_id, told.user_id, told.sequence, told.type, list_filter([")
    for number, (when, kind, found) in enumerate(cases):
        comma = ", " if number else ""
        told = f"{{'kind': ?, 'found': coalesce(CAST({found} AS VARCHAR), 'nothing')}}"
        statement.add(f"{comma}CASE WHEN {when} THEN {told} END", kind, *([screens] if "?" in found else []))
    statement.add("], lambda fault: fault IS NOT NULL) AS faults")
    statement.add("FROM states AS state JOIN turns USING (session)")
    statement.add("JOIN told USING (place) LEFT JOIN stacked USING (place)")
    statement.add("LEFT JOIN rules ON rules.type = told.type")
    statement.add("LEFT JOIN told AS slate ON slate.session_id = turns.session_id")
    statement.add("AND slate.sequence = state.chosen_from")
    statement.add("WHERE " + " OR ".join(f"({when})" for when, _, _ in cases))
    statement.add(") SELECT session_id, user_id, sequence, type, fault.kind AS kind, fault.found AS found")
    statement.add("FROM (SELECT * EXCLUDE (faults), unnest(faults) AS fault FROM judged)")
    statement.add("ORDER BY session_id, sequence, kind")
