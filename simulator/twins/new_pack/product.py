"""What can be done: events, the order in which people do them, and what they never do before something else.

After each event the user is on a screen of its own, so that a pack can say how likely every event follows, and leaving.
Preconditions are inferred conservatively: one is declared only where no session of many breaks it, and where at least
ten would have, had the two events nothing to do with each other. Everything else stays possible.
Knows sessions as arrays, and no persona.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from simulator.twins.log import I64, Log

ENTRY = "entry"
MOST_EVENTS = 100
MOST_COUNTERS = 4
#: A precondition is declared where at least so many sessions would break it by chance, and none does.
SURPRISE = 10.0
_LEAST_SESSIONS = 50
NEVER = np.iinfo(np.int32).max
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """`event` never happens in a session before `needs` has; `sessions` show it, `expected` would not by chance."""

    event: int
    needs: int
    sessions: int
    expected: float


@dataclass(frozen=True)
class Chain:
    """`start` [E]: share of first events; `follows` [E, E+1] of what follows (last column: nothing); `item` [E]: share
    of an event's rows that are about an item, `same` [E]: of these, about the last one before in the session."""

    start: F64
    follows: F64
    item: F64
    same: F64
    pauses: F64


def chain_of(log: Log, k: int) -> Chain:
    """First-order frequencies; a pair that fewer than k users showed counts as never seen."""
    events = len(log.words["event"])
    by_user = log.user[log.session]
    last = np.zeros(len(log.event), dtype=bool)
    last[log.first[1:] - 1] = True
    pair = log.event * (events + 1) + np.where(last, events, np.roll(log.event, -1))
    follows = _with_users(pair, by_user, events * (events + 1), k).reshape(events, events + 1)
    first = log.first[:-1]
    start = _with_users(log.event[first], by_user[first], events, k)
    total = np.maximum(np.bincount(log.event, minlength=events), 1)
    has = log.item >= 0
    before = _item_before(log)
    same = np.bincount(log.event[has & (before == log.item)], minlength=events)
    seconds = np.maximum((np.roll(log.time, -1) - log.time) / 1e6, 0.0)
    pauses = np.zeros((events, 2))
    for event in range(events):
        some = np.log(np.maximum(seconds[(log.event == event) & ~last], 1e-3))
        pauses[event] = (np.exp(np.median(some)), some.std()) if len(some) >= k else (10.0, 0.8)
    return Chain(
        start=start / max(start.sum(), 1.0), follows=follows / np.maximum(follows.sum(axis=1, keepdims=True), 1.0),
        item=np.bincount(log.event[has], minlength=events) / total,
        same=same / np.maximum(np.bincount(log.event[has], minlength=events), 1), pauses=pauses,
    )  # fmt: skip


def _with_users(code: I64, user: I64, size: int, k: int) -> F64:
    counts = np.bincount(code, minlength=size).astype(np.float64)
    pairs = np.unique(code * (int(user.max(initial=0)) + 1) + user) // (int(user.max(initial=0)) + 1)
    counts[np.bincount(pairs, minlength=size) < k] = 0.0
    return counts


def _item_before(log: Log) -> I64:
    """The last item before each event in its session, -1 where there is none."""
    place = np.arange(len(log.item))
    seen = np.where(log.item >= 0, place, -1)
    latest = np.concatenate([[-1], np.maximum.accumulate(seen)[:-1]])
    inside = latest >= log.first[:-1][log.session]
    return np.where(inside, log.item[np.maximum(latest, 0)], -1)


def rules_of(log: Log, k: int) -> list[Rule]:
    """What never happens before what: the strongest for each event, the strongest first."""
    best: dict[int, Rule] = {}
    for rule in _candidates(log, k):
        if rule.event not in best or rule.expected > best[rule.event].expected:
            best[rule.event] = rule
    kept: list[Rule] = []
    for rule in sorted(best.values(), key=lambda rule: -rule.expected):
        if len({one.needs for one in kept} | {rule.needs}) <= MOST_COUNTERS:
            kept.append(rule)
    return kept


def _candidates(log: Log, k: int) -> Iterator[Rule]:
    events = len(log.words["event"])
    first = {event: _first_places(log, event) for event in range(events)}
    for event in range(events):
        at = first[event]
        with_it = at < NEVER
        count = int(with_it.sum())
        if count < _LEAST_SESSIONS or len(np.unique(log.user[with_it])) < max(k, 20):
            continue
        places, of = np.unique(at[with_it], return_inverse=True)
        for needs in range(events):
            if needs == event or not (first[needs][with_it] < at[with_it]).all():
                continue
            # the other sessions that are long enough: how often has it not happened there by then?
            others = [~with_it & (log.lengths > place) for place in places.tolist()]
            absent = [
                float((first[needs][rows] >= place).mean()) if rows.sum() >= _LEAST_SESSIONS else 0.0
                for rows, place in zip(others, places.tolist(), strict=True)
            ]
            expected = float(np.array(absent)[of].sum())
            if expected >= SURPRISE:
                yield Rule(event, needs, count, expected)


def _first_places(log: Log, event: int) -> npt.NDArray[np.int32]:
    """[sessions]: the place of the first such event, NEVER where there is none."""
    rows = np.flatnonzero(log.event == event)
    sessions, index = np.unique(log.session[rows], return_index=True)
    found = np.full(len(log.user), NEVER, dtype=np.int32)
    found[sessions] = rows[index] - log.first[sessions]
    return found


def never_first(log: Log, k: int) -> list[int]:
    """Events with which no session begins, though by chance at least ten of many would."""
    events = len(log.words["event"])
    first = np.bincount(log.event[log.first[:-1]], minlength=events)
    share = np.bincount(log.event, minlength=events) / max(len(log.event), 1)
    if len(np.unique(log.user)) < max(k, 20):
        return []
    odd = np.flatnonzero((first == 0) & (share * len(log.user) >= SURPRISE))
    return [event for event in odd.tolist() if len(odd) < events]


def product_of(
    chain: Chain, names: list[str], rules: list[Rule], late: list[int], *, name: str, title: str, summary: str,
    item_property: bool, exponent: float, conversion: str | None, intents: dict[str, Any], adoption: dict[str, float],
) -> dict[str, Any]:  # fmt: skip
    """product.yaml as plain data. With one intent that weighs nothing, the prior plays the chain as it was seen."""
    screens: dict[str, Any] = {ENTRY: {"title": "A session begins", "leave": 0.0}}
    for row, event in enumerate(names):
        screens[f"after_{event}"[:48]] = {"title": f"After {event}", "leave": _number(chain.follows[row, -1], 1e-4)}
    counters = {f"had_{names[rule.needs]}"[:48]: 1 for rule in rules}
    base = np.maximum(chain.start, 1e-4)
    events: dict[str, Any] = {}
    for row, event in enumerate(names):
        about = "catalog" if chain.item[row] >= 0.5 else None
        on = list(screens) if row not in late else [screen for screen in screens if screen != ENTRY]
        declared: dict[str, Any] = {
            "on": on, "to": f"after_{event}"[:48], "weight": _number(base[row], 1e-4), "item": about,
            "dwell": {"median": _number(chain.pauses[row, 0], 1e-3), "spread": _number(min(chain.pauses[row, 1], 3.0))},
            "after": {
                names[other]: _number(min(chain.follows[other, row] / base[row], 1e6)) for other in range(len(names))
            },
            "requires": {f"had_{names[rule.needs]}"[:48]: 1 for rule in rules if rule.event == row},
            "effects": {f"had_{event}"[:48]: 1} if f"had_{event}"[:48] in counters else {},
        }  # fmt: skip
        if about and item_property:
            declared["properties"] = {
                "item_id": {"type": "string", "source": "item.id"},
                "category": {"type": "string", "source": "item.category"},
                "price": {"type": "number", "source": "item.price"},
            }
        events[event] = {field: value for field, value in declared.items() if value not in (None, {}, [])}
    told: dict[str, Any] = {
        "name": name, "version": 1, "title": title, "summary": summary, "start": ENTRY, "counters": counters,
        "load": {"median": 0.001, "spread": 0.0}, "screens": screens, "events": events, "intents": intents,
        "choice": {"taste": 1.0, "quality": exponent, "price": 0.0, "seen": 1.0}, "adoption": adoption,
        "loyalty": {"recovery": 0.0, "reward": 0.0, "least_return": 1.0, "churn_factor": 1.0},
    }  # fmt: skip
    if item_property and any("properties" in event for event in events.values()):
        told["item_property"] = "item_id"
    if conversion is not None:
        told |= {"conversion": conversion, "funnel": [conversion]}
    return told


def _number(value: float, least: float = 0.0) -> float:
    """Rounded to four significant digits, so that no exact count can be read off a file."""
    return float(f"{max(float(value), least):.4g}")
