"""Counts of a core with noise: what leaves this module is (epsilon, delta)-differentially private for a user.

Each user is first cut to a few sessions, events, kinds of events and items. Every histogram is then the sum of one
vector a user, shortened to a bound, plus Gaussian noise (see `accountant`). The span of time, in whole days, counts as
known. The noise comes from the operating system and is kept nowhere: whoever knew it could take it off again. Numbers
are rounded to a grid against attacks on floating point (Mironov 2012), which makes them harder, not impossible.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import fold, root_key
from simulator.twins.log import I64, Log
from simulator.twins.privacy import chosen
from simulator.twins.private.accountant import Budget

F64 = npt.NDArray[np.float64]
#: n standard normal numbers.
Noise = Callable[[int], F64]
MOST_SESSIONS, MOST_EVENTS, MOST_KINDS, MOST_ITEMS = 10, 50, 12, 20
DAY, HOUR = 86_400_000_000, 3_600_000_000
#: Edges of the classes of pauses, in seconds: 0, then powers up to a year.
EDGES = np.concatenate([[0.0, 0.5], np.geomspace(1.0, 366 * 86_400.0, 24)])
_GRID = 2.0**-10
#: Share of rho and bound of each histogram.
PLAN = {
    "kinds": (0.06, MOST_KINDS**0.5), "items": (0.08, MOST_ITEMS**0.5), "starts": (0.08, 3.0), "pairs": (0.26, 8.0),
    "with_item": (0.06, 8.0), "repeats": (0.05, 6.0), "popularity": (0.15, 4.0), "pauses": (0.1, 8.0),
    "visits": (0.04, 1.0), "days": (0.05, 1.0), "hours": (0.05, 3.0), "returns": (0.02, 3.0),
}  # fmt: skip


@dataclass(frozen=True)
class Released:
    """Noisy histograms by name (see PLAN), what is left of the words, the first day (microseconds), and how far each
    count is off (standard deviations), for the papers."""

    histograms: dict[str, F64]
    words: dict[str, tuple[str, ...]]
    origin: int
    sigmas: dict[str, float]


def system_noise(count: int) -> F64:
    """Standard normal numbers out of the operating system's randomness."""
    from scipy.special import ndtri

    bits = np.frombuffer(os.urandom(8 * count), dtype=np.uint64) >> np.uint64(11)
    return np.asarray(ndtri((bits.astype(np.float64) + 0.5) * 2.0**-53))


def release(log: Log, epsilon: float, delta: float, k: int, noise: Noise = system_noise) -> Released:
    """The counts of a log. What fewer than k users have (with noise) is left out in any case."""
    budget = Budget.of(epsilon, delta)
    origin = int(log.time.min() // DAY * DAY)
    days = int((log.time.max() - origin) // DAY) + 1
    log = _bounded(log)
    log, sigmas = _named(log, budget, k, noise)
    cells = _cells(log, origin)
    sizes = _sizes(log, days)
    by_user = log.user[log.session]
    found = {}
    for name, (code, rows) in cells.items():
        share, bound = PLAN[name]
        sigmas[name] = budget.sigma(share, bound)
        owner = by_user[rows] if name not in ("visits", "days") else rows
        found[name] = _noisy(code, owner, sizes[name], bound, sigmas[name], noise)
    return Released(found, {name: tuple(words) for name, words in log.words.items()}, origin, sigmas)


def _bounded(log: Log) -> Log:
    """Each user's first sessions by time, and of them so many events, kinds of events and items."""
    begun = log.time[log.first[:-1]]
    order = np.lexsort((begun, log.user))
    rank = np.empty(len(order), dtype=np.int64)
    fresh = np.diff(log.user[order], prepend=-1) != 0
    start = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    rank[order] = np.arange(len(order)) - start
    log = chosen(log, np.flatnonzero(rank[log.session] < MOST_SESSIONS))
    by_user = log.user[log.session]
    order = np.argsort(by_user, kind="stable")
    within = np.arange(len(order)) - np.searchsorted(by_user[order], by_user[order], side="left")
    keep = np.zeros(len(order), dtype=bool)
    keep[order] = within < MOST_EVENTS
    log = chosen(log, np.flatnonzero(keep & (log.event >= 0)))
    log = chosen(log, np.flatnonzero(_first_few(log.event, log.user[log.session], MOST_KINDS)))
    few = _first_few(log.item, log.user[log.session], MOST_ITEMS)
    return replace(log, item=np.where(few, log.item, -1))


def _first_few(code: I64, user: I64, most: int) -> npt.NDArray[np.bool_]:
    """[n]: whether the code is among `most` of its user's, in an order by hash."""
    pairs = np.stack([user, code], axis=1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    mixed = fold(fold(root_key("few"), unique[:, 0]), unique[:, 1] + 1)
    order = np.lexsort((mixed, unique[:, 0]))
    rank = np.empty(len(unique), dtype=np.int64)
    owner = unique[order, 0]
    rank[order] = np.arange(len(unique)) - np.searchsorted(owner, owner, side="left")
    return np.asarray((rank < most)[np.asarray(inverse).ravel()])


def _named(log: Log, budget: Budget, k: int, noise: Noise) -> tuple[Log, dict[str, float]]:
    """The log with the names alone whose noisy number of users passes the threshold."""
    sigmas, kept = {}, {}
    user = log.user[log.session]
    for name, code in (("kinds", log.event), ("items", log.item)):
        words = log.words["event" if name == "kinds" else "item"]
        share, bound = PLAN[name]
        sigmas[name] = budget.sigma(share, bound)
        there = code >= 0
        pairs = np.unique(np.stack([code[there], user[there]], axis=1), axis=0)
        users = np.bincount(pairs[:, 0], minlength=len(words)).astype(np.float64)
        noisy = users + sigmas[name] * noise(len(words))
        least = max(budget.threshold(sigmas[name], MOST_KINDS + MOST_ITEMS), float(k))
        kept[name] = (users > 0) & (noisy >= least)
    events, items = np.append(kept["kinds"], False), np.append(kept["items"], False)
    place = [np.where(each, np.cumsum(each) - 1, -1) for each in (events, items)]
    words_left = {
        "event": tuple(word for word, yes in zip(log.words["event"], kept["kinds"], strict=True) if yes),
        "item": tuple(word for word, yes in zip(log.words["item"], kept["items"], strict=True) if yes),
    }
    log = replace(log, item=place[1][log.item])
    log = chosen(log, np.flatnonzero(events[log.event])) if events.any() else chosen(log, np.zeros(0, dtype=np.int64))
    return replace(log, event=place[0][log.event], words=words_left), sigmas


def _sizes(log: Log, days: int) -> dict[str, int]:
    events, items, pauses = len(log.words["event"]), len(log.words["item"]), len(EDGES)
    return {
        "starts": events, "pairs": events * (events + 1), "with_item": events, "repeats": events, "popularity": items,
        "pauses": events * pauses, "visits": MOST_SESSIONS + 1, "days": days, "hours": 168, "returns": pauses,
    }  # fmt: skip


def _cells(log: Log, origin: int) -> dict[str, tuple[I64, Any]]:
    """For each histogram the cells that are counted, and the rows of the log (or the users) that they belong to."""
    events = len(log.words["event"])
    rows = np.arange(len(log.event))
    last = np.zeros(len(rows), dtype=bool)
    last[log.first[1:] - 1] = True
    first = log.first[:-1]
    following = np.minimum(rows + 1, max(len(rows) - 1, 0))
    pause = np.searchsorted(EDGES, (log.time[following] - log.time) / 1e6, side="right") - 1
    has = log.item >= 0
    same = has & (np.roll(log.item, 1) == log.item) & (np.roll(log.session, 1) == log.session)
    begun = log.time[first]
    order = np.lexsort((begun, log.user))
    again = np.flatnonzero(np.diff(log.user[order], prepend=-1) == 0)
    back = np.searchsorted(EDGES, (begun[order][again] - begun[order][again - 1]) / 1e6, side="right") - 1
    earliest = np.full(log.users, np.iinfo(np.int64).max)
    np.minimum.at(earliest, log.user, begun)
    users = np.arange(log.users)
    return {
        "starts": (log.event[first], first),
        "pairs": (log.event * (events + 1) + np.where(last, events, log.event[following]), rows),
        "with_item": (log.event[has], rows[has]), "repeats": (log.event[same], rows[same]),
        "popularity": (log.item[has], rows[has]),
        "pauses": (log.event[~last] * len(EDGES) + pause[~last], rows[~last]),
        "visits": (np.minimum(np.bincount(log.user, minlength=log.users), MOST_SESSIONS), users),
        "days": ((earliest - origin) // DAY, users),
        "hours": ((begun // HOUR + 72) % 168, first), "returns": (back, first[order][again]),
    }  # fmt: skip


def _noisy(code: I64, user: I64, size: int, bound: float, sigma: float, noise: Noise) -> F64:
    """The histogram of the codes, each user's part no longer than `bound`, with noise, on a grid and not below zero."""
    if not size:
        return np.zeros(0)
    pairs, counts = np.unique(np.stack([user, code], axis=1), axis=0, return_counts=True)
    squares = np.bincount(pairs[:, 0], weights=counts.astype(np.float64) ** 2, minlength=1)
    scale = np.minimum(1.0, bound / np.maximum(np.sqrt(squares), 1e-12))
    sums = np.bincount(pairs[:, 1], weights=counts * scale[pairs[:, 0]], minlength=size)
    return np.maximum(np.round((sums + sigma * noise(size)) / _GRID) * _GRID, 0.0)
