"""Whether stored sessions keep the rules of their product, judged from the stored stream alone, in one SQL query.

The rules (where an event is legal, what it requires of which counter, which item it may be about) come from the
product's declaration; the state before every event is recomputed from the events before it in its session, by window
functions. So it is a second opinion on whoever made the events: nothing is shared with the simulator.
Two ways were weighed: replaying each session in Python (easy, 20 k events/s, and one more engine that could be wrong
in the same way), or windows in SQL (a million events in seconds, next to the data). Knows tables and products; only a
`Store` runs what is built here.

What is not in the stream is not judged: an item whose event does not tell its id, a slate that is not listed.
Counters with negative effects are held between 0 and their limit step by step, all others by sums since their last
clear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from personas.product import NO_LIMIT, EventSpec, Product

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
    stepwise = [n for n in counters if any(event.effects.get(n, 0) < 0 for event in product.events.values())]
    _rules(statement, product, counters)
    _facts(statement, product, counters, run_id)
    _states(statement, product, counters, stepwise)
    _judgement(statement, counters)
    return "\n".join(statement.parts), statement.parameters


def _columns(counters: Iterable[str]) -> list[str]:
    """The columns of the rules: one row per event type. A missing bound is null; counters are numbered."""
    fixed = ["type", "screens", "target", "chooses", "holds", "item_mode", "slate_mode", "unfocuses"]
    fixed += ["item_path", "list_path", "position_path"]
    bounds = [f"{name}_{end}" for name in ("focus", "shown", "bag", "page") for end in ("low", "high")]
    own = [f"c{n}_{what}" for n, _ in enumerate(counters) for what in ("step", "clears", "low", "high")]
    return fixed + bounds + own


def _rules(statement: _Statement, product: Product, counters: list[str]) -> None:
    rows = []
    for name, event in product.events.items():
        bounds = product.bounds(name)

        def ends(counter: str, bounds: dict[str, tuple[int, int]] = bounds) -> list[int | None]:
            low, high = bounds.get(counter, (0, NO_LIMIT))
            return [low or None, None if high >= NO_LIMIT else high]

        row: list[Any] = [
            name, list(event.on), event.to, event.item == "slate", event.item is not None, event.item or "none",
            "none" if event.slate is None else event.page, "focus" in event.clear,
            _path(event, "item.id"), _path(event, "slate.items"), _path(event, "position"),
        ]  # fmt: skip
        for counter in ("focus", "shown", "bag", "page"):
            row += ends(counter)
        for counter in counters:
            row += [event.effects.get(counter, 0), counter in event.clear, *ends(counter)]
        rows.append(row)
    columns = _columns(counters)
    places = f"({', '.join('?' for _ in columns)})"
    statement.add(f"WITH rules({', '.join(columns)}) AS (VALUES")
    statement.add(",\n".join(places for _ in rows), *(value for row in rows for value in row))
    statement.add("),")


def _path(event: EventSpec, source: str) -> str | None:
    """The name of the property that tells this of the situation."""
    return next((name for name, spec in event.properties.items() if spec.source == source), None)


def _facts(statement: _Statement, product: Product, counters: list[str], run_id: str) -> None:
    """The events of the run with their rules, and what each does to the bag and to the page. `added` is 1, -1 or 0."""
    bags = {mode: [n for n, e in product.events.items() if e.bag == mode] for mode in ("add", "remove", "empty")}
    statement.add("facts AS MATERIALIZED (SELECT event.session_id, event.user_id, event.sequence, event.time, event.type,")
    statement.add("event.event_id, rules.* EXCLUDE (type), rules.type IS NULL AS unknown,")
    for name, kind in (("item", "VARCHAR"), ("list", "VARCHAR[]"), ("position", "INTEGER")):
        paths = {_path(event, source) for event in product.events.values() for source in (_SOURCES[name],)} - {None}
        if name == "item" and product.item_property:
            statement.add("event.item_id AS item,")
            continue
        if not paths:
            statement.add(f"CAST(NULL AS {kind}) AS {name},")
            continue
        statement.add("CASE")
        for path in sorted(paths, key=str):
            extract = "json_extract_string" if name == "item" else "json_extract"
            statement.add(f"WHEN {name}_path = ? THEN CAST({extract}(event.properties, ?) AS {kind})", path, f'$."{path}"')
        statement.add(f"END AS {name},")
    statement.add("CASE WHEN event.type = ANY (?) THEN 1 WHEN event.type = ANY (?) THEN -1 ELSE 0 END AS added,",
                  bags["add"], bags["remove"])  # fmt: skip
    statement.add("event.type = ANY (?) AS empties", bags["empty"])
    statement.add("FROM events AS event LEFT JOIN rules USING (type) WHERE event.run_id = ?),", run_id)


_SOURCES = {"item": "item.id", "list": "slate.items", "position": "position"}


def _states(statement: _Statement, product: Product, counters: list[str], stepwise: list[str]) -> None:
    """What holds before each event. First running sums, then what they were at the last reset."""
    sums = ["sum(added) OVER upto AS bag_sum", "sum(CASE WHEN slate_mode = 'next' THEN 1 ELSE 0 END) OVER upto AS page_sum"]
    sums += ["count(*) FILTER (WHERE empties) OVER before AS bag_epoch"]
    sums += [f"sum(c{n}_step) OVER upto AS c{n}_sum" for n, c in enumerate(counters) if c not in stepwise]
    windows = (
        "WINDOW upto AS (PARTITION BY session_id ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), "
        "before AS (PARTITION BY session_id ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    statement.add(f"summed AS (SELECT *, {', '.join(sums)} FROM facts {windows}),")
    latest = "coalesce(last_value(CASE WHEN {when} THEN {what} END IGNORE NULLS) OVER before, {otherwise})"

    def since(total: str, reset: str) -> str:
        at_reset = latest.format(when=reset, what=total, otherwise=0)
        return f"coalesce(last_value({total}) OVER before, 0) - {at_reset}"

    statement.add("states AS MATERIALIZED (SELECT session_id, user_id, sequence, time, type, event_id, unknown, screens,")
    statement.add("chooses, item_mode, item, position, bag_epoch, added,")
    statement.add("coalesce(last_value(target IGNORE NULLS) OVER before, ?) AS screen,", product.start)
    statement.add(f"{latest.format(when='holds', what='sequence', otherwise=-1)} AS held_at,")
    statement.add(f"{latest.format(when='unfocuses AND NOT holds', what='sequence', otherwise=-1)} AS unfocused_at,")
    # An item that is not told is told as '?': it is in focus, but nobody knows which it is.
    statement.add(f"{latest.format(when='holds', what=_TOLD, otherwise='NULL')} AS held,")
    statement.add(f"{latest.format(when=_SHOWS, what='sequence', otherwise='NULL')} AS shown_at,")
    statement.add(f"{latest.format(when=_SHOWS, what='coalesce(len(list), -1)', otherwise=0)} AS shown,")
    statement.add(f"{since('bag_sum', 'empties')} AS bag,")
    statement.add(f"{since('page_sum', _FIRST_PAGE)} AS page,")
    for n, counter in enumerate(counters):
        if counter in stepwise:
            statement.add(
                f"coalesce(list_reduce(list_prepend(CAST(0 AS BIGINT), list(CASE WHEN c{n}_clears THEN CAST(? AS BIGINT) "
                f"ELSE c{n}_step END) OVER before), lambda held, step: greatest(0, least(?, held + step))), 0) AS c{n},",
                -NO_LIMIT * 1000,
                product.counters[counter],
            )
        else:
            statement.add(f"least(?, {since(f'c{n}_sum', f'c{n}_clears')}) AS c{n},", product.counters[counter])
    bounds = [name for name in _columns(counters) if name.endswith(("_low", "_high"))]
    statement.add(", ".join(bounds))
    statement.add(
        f", lag(sequence) OVER each AS sequence_before, lag(time) OVER each AS time_before FROM summed {windows}, "
        "each AS (PARTITION BY session_id ORDER BY sequence)),"
    )
    statement.add("slates AS (SELECT session_id, sequence, list FROM facts WHERE list IS NOT NULL),")
    # The bag is a stack: what lies on top was put in when the bag held one thing less, as the last one to do so.
    statement.add(
        "stacked AS (SELECT event_id, last_value(CASE WHEN added = 1 THEN coalesce(item, '?') END IGNORE NULLS) OVER "
        "(PARTITION BY session_id, bag_epoch, CASE WHEN added = 1 THEN bag ELSE bag - 1 END ORDER BY sequence "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS top FROM states WHERE added = 1 OR item_mode = 'bag'),"
    )
    statement.add(
        "turns AS (SELECT session_id, min(time) AS began, max(max(time)) OVER (PARTITION BY user_id ORDER BY min(time), "
        "session_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended_before FROM facts GROUP BY session_id, user_id),"
    )


_TOLD = "coalesce(item, '?')"
_SHOWS = "slate_mode IN ('first', 'next')"
_FIRST_PAGE = "slate_mode = 'first'"


def _judgement(statement: _Statement, counters: list[str]) -> None:
    cases: list[tuple[str, str, str, list[Any]]] = [
        ("unknown", "unknown event", "type", []),
        ("NOT list_contains(screens, screen)", "screen", "screen", []),
        ("chooses AND slate.list IS NOT NULL AND NOT list_contains(slate.list, item)", "slate item", "item", []),
        (
            "chooses AND slate.list IS NOT NULL AND list_contains(slate.list, item) AND position IS NOT NULL "
            "AND slate.list[position] IS DISTINCT FROM item",
            "slate position", "position", [],
        ),
        (
            "item_mode = 'focus' AND item IS NOT NULL AND held_at > unfocused_at AND held <> '?' AND held <> item",
            "item in focus", "item", [],
        ),
        ("item_mode = 'bag' AND item IS NOT NULL AND top <> '?' AND top <> item", "item in bag", "item", []),
        ("sequence <> coalesce(sequence_before, -1) + 1", "sequence", "sequence_before", []),
        ("time < time_before", "time", "time_before", []),
        ("sequence_before IS NULL AND began <= ended_before", "overlap", "ended_before", []),
    ]  # fmt: skip
    values = {"focus": "(CASE WHEN held_at > unfocused_at THEN 1 ELSE 0 END)", "shown": "nullif(shown, -1)"}
    values |= {"bag": "bag", "page": "page", **{f"c{n}": f"c{n}" for n, _ in enumerate(counters)}}
    names = {f"c{n}": counter for n, counter in enumerate(counters)}
    for column, value in values.items():
        outside = f"({value} < {column}_low OR {value} > {column}_high)"
        cases.append((outside, "?", value, [f"counter {names.get(column, column)}"]))
    statement.add("judged AS (SELECT state.session_id, state.user_id, state.sequence, state.type, list_filter([")
    for number, (when, kind, found, bound) in enumerate(cases):
        comma = ", " if number else ""
        told = "?" if bound else f"'{kind}'"
        statement.add(
            f"{comma}CASE WHEN {_qualified(when)} THEN "
            f"{{'kind': {told}, 'found': coalesce(CAST({_qualified(found)} AS VARCHAR), 'nothing')}} END",
            *bound,
        )
    statement.add("], lambda fault: fault IS NOT NULL) AS faults FROM states AS state")
    statement.add("LEFT JOIN slates AS slate ON state.chooses AND slate.session_id = state.session_id")
    statement.add("AND slate.sequence = state.shown_at")
    statement.add("LEFT JOIN stacked ON state.item_mode = 'bag' AND stacked.event_id = state.event_id")
    statement.add("LEFT JOIN turns ON state.sequence_before IS NULL AND turns.session_id = state.session_id)")
    statement.add("SELECT session_id, user_id, sequence, type, fault.kind AS kind, fault.found AS found")
    statement.add("FROM (SELECT * EXCLUDE (faults), unnest(faults) AS fault FROM judged WHERE len(faults) > 0)")
    statement.add("ORDER BY session_id, sequence, kind")


def _qualified(expression: str) -> str:
    """`sequence` stands in several of the joined tables; here the one of the event is meant."""
    import re

    return re.sub(r"(?<![\w.])(sequence|session_id|item)\b(?!\w)", r"state.\1", expression)
