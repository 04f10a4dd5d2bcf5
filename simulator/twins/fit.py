"""Fits a twin model on a log: a first-order chain of events, gaps by event, items by popularity and repetition.

    starts [E], chain [E, E+1]     probability of the first event, and of the next (the last column: the session ends)
    gap [E, Q+1]                   quantiles of the seconds until the next event
    has_item [E], repeat [E]       probability that an event has an item, and that it is the item before it
    popularity [I]                 shares of items
    visits [V], back [Q+1]         how many sessions users have (1, 2, ...), and quantiles of the days between them
    days [D], hours [168]          share of first sessions by day of the span, and of all sessions by hour of the week

What fewer than k users did is left out before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from personas.errors import TwinError
from personas.randomness import F64
from simulator.twins.log import I64, Log, log_of, table_of
from simulator.twins.model import FitOptions, TwinModel

CELLS = 64
MOST_VISITS = 200
_DAY, _HOUR = 86_400_000_000, 3_600_000_000

Progress = Callable[[str, float], None]


def fit(table: pa.Table, options: FitOptions, progress: Progress = lambda step, share: None) -> TwinModel:
    """The model of a log. `progress` is told what is being done and the share (0 to 1) that is done."""
    if options.epsilon is not None:
        raise TwinError("this model carries no noise yet.", hint="Fit without --epsilon; --k holds.")
    progress("events", 0.0)
    thinned, dropped = _thinned(table, options.k)
    log = log_of(thinned)
    if not log.words["event"]:
        raise TwinError(f"no event was done by {options.k} users.", hint="Wait for more users, or give a smaller --k.")
    arrays: dict[str, Any] = {**_chain(log, log.user[log.session], options.k)}
    progress("items", 0.4)
    arrays |= _items(log)
    progress("arrivals", 0.7)
    arrays |= _arrivals(log)
    progress("done", 1.0)
    facts = {
        "users": log.users, "sessions": len(log.user), "events": len(log.event),
        "first": int(log.time.min()), "last": int(log.time.max()),
        "dropped": dropped,
    }  # fmt: skip
    return TwinModel(arrays, dict(log.words), facts)


def _thinned(table: pa.Table, k: int) -> tuple[pa.Table, dict[str, int]]:
    """The log without events, and without the items, that fewer than `k` users have; how many kinds of each went."""
    log = log_of(table)
    by_user = log.user[log.session]
    events = _often(log.event, by_user, len(log.words["event"]), k)
    items = np.append(_often(log.item, by_user, len(log.words["item"]), k), False)
    rare = pa.array(list(log.words["item"]), pa.string()).take(pa.array(log.item, mask=~items[log.item]))
    often = table_of(log, [str(n) for n in range(log.users)], [str(n) for n in range(len(log.user))])
    often = often.set_column(often.column_names.index("item_id"), "item_id", rare)
    return often.filter(pa.array(events[log.event])), {"events": int((~events).sum()), "items": int((~items).sum()) - 1}


def _often(code: I64, user: I64, count: int, k: int) -> Any:
    """[count]: whether at least k users did it."""
    there = code >= 0
    pairs = np.unique(code[there] * (user.max(initial=0) + 1) + user[there])
    users = np.bincount(pairs // (user.max(initial=0) + 1), minlength=count)
    return users >= k


def _chain(log: Log, by_user: I64, k: int) -> dict[str, F64]:
    events = len(log.words["event"])
    last = np.zeros(len(log.event), dtype=bool)
    last[log.first[1:] - 1] = True
    follows = np.where(last, events, np.roll(log.event, -1))
    pair = log.event * (events + 1) + follows
    counts = np.bincount(pair, minlength=events * (events + 1)).astype(np.float64)
    counts *= _often(pair, by_user, len(counts), k)
    chain = counts.reshape(events, events + 1)
    total = chain.sum(axis=1, keepdims=True)
    chain = np.where(total > 0, chain / np.maximum(total, 1), np.eye(events + 1)[[events] * events])
    starts = np.bincount(log.event[log.first[:-1]], minlength=events).astype(np.float64)
    seconds = (np.roll(log.time, -1) - log.time) / 1e6
    gaps = np.zeros((events, CELLS + 1))
    for event in range(events):
        some = seconds[(log.event == event) & ~last]
        gaps[event] = np.quantile(some, np.linspace(0, 1, CELLS + 1)) if len(some) else 0.0
    return {"starts": starts / starts.sum(), "chain": chain, "gap": np.maximum(gaps, 0.0)}


def _items(log: Log) -> dict[str, F64]:
    events, items = len(log.words["event"]), len(log.words["item"])
    there = log.item >= 0
    of_event = np.maximum(np.bincount(log.event, minlength=events), 1)
    has = np.bincount(log.event[there], minlength=events) / of_event
    same = there & (np.roll(log.item, 1) == log.item) & (np.roll(log.session, 1) == log.session)
    repeat = np.bincount(log.event[same], minlength=events) / np.maximum(has * of_event, 1)
    popularity = np.bincount(log.item[there], minlength=items)
    return {"has_item": has, "repeat": repeat, "popularity": popularity / max(popularity.sum(), 1)}


def _arrivals(log: Log) -> dict[str, F64]:
    begun = log.time[log.first[:-1]]
    order = np.lexsort((begun, log.user))
    user, begun = log.user[order], begun[order]
    fresh = np.diff(user, prepend=-1) != 0
    origin = int(begun.min() // _DAY)
    days = np.bincount(begun[fresh] // _DAY - origin).astype(np.float64)
    hours = np.bincount((begun // _HOUR + 3 * 24) % 168, minlength=168).astype(np.float64)  # 1970 began on a Thursday
    visits = np.bincount(np.minimum(np.bincount(user), MOST_VISITS), minlength=2).astype(np.float64)[1:]
    between = np.diff(begun)[~fresh[1:]] / _DAY
    back = np.quantile(between, np.linspace(0, 1, CELLS + 1)) if len(between) else np.zeros(CELLS + 1)
    return {
        "days": days / days.sum(), "hours": hours / hours.sum(), "visits": visits / visits.sum(), "back": back,
        "origin": np.array([origin * _DAY]),
    }  # fmt: skip
