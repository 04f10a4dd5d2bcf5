"""Bursts: hours of the log's own calendar in which something happened to many at once.

A mass closure, a campaign, an outage: no law of waiting times produces them, and everybody sees them in the data. A
burst is an hour (neighbours are joined) in which one event has many times what its day of the week, its hour and its
weeks give, done by at least k users, and which ends waits that began before it: where people come together and do what
they always do, a burst is one of visits. It becomes a class of durations of its own: *until the burst*. A queue that is
worked off has an order, so when in the burst it happens is told by how long it has been waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personas.randomness import F64
from simulator.twins.log import I64
from simulator.twins.privacy import extremes, users_of

HOUR, WEEK = 3_600_000_000, 168
CELLS = 32
#: Parts of the waits before a burst, at most, and rows that each must have.
AGES, ENOUGH = 12, 40
MOST, TIMES, SHARE, FEWEST = 4, 8.0, 0.002, 30


@dataclass(frozen=True)
class Bursts:
    """event [B]; begin, end [B]: microseconds since 1970; waits [B, AGES-1]: where waits until `begin` (microseconds)
    are parted, rising; quantiles [B, AGES, CELLS+1]: instants after `begin`, by how long it has been waited."""

    event: I64
    begin: I64
    end: I64
    waits: I64
    quantiles: F64

    def __len__(self) -> int:
        return len(self.event)

    def of(self, event: I64, before: I64, instant: I64) -> I64:
        """The burst that an event at an instant belongs to, waited for since `before`; -1 for none."""
        found = np.full(len(event), -1)
        for number in range(len(self)):
            begin, end = self.begin[number], self.end[number]
            found[(event == self.event[number]) & (before < begin) & (instant >= begin) & (instant < end)] = number
        return found

    def instants(self, number: I64, after: I64, chance: F64) -> I64:
        """Instants within bursts, after the given ones."""
        age = (self.waits[number] <= (self.begin[number] - after)[:, None]).sum(axis=1)
        table = self.quantiles[number, age]
        passed = ((self.begin[number][:, None] + table <= after[:, None]).sum(axis=1) - 1) / CELLS
        place = (np.clip(passed, 0.0, 1.0) * (1.0 - chance) + chance) * CELLS
        cell = np.minimum(place.astype(np.int64), CELLS - 1)
        row = np.arange(len(number))
        low, high = table[row, cell], table[row, cell + 1]
        return np.asarray(self.begin[number] + (low + (place - cell) * (high - low)).astype(np.int64))


def bursts_of(event: I64, before: I64, instant: I64, user: I64, k: int) -> Bursts:
    """The bursts of events, at instants (microseconds) after those `before`, by users."""
    found: list[tuple[int, int, int]] = []
    if not len(instant):
        return _none()
    origin = int(instant.min()) // HOUR
    hours = int(instant.max()) // HOUR - origin + 1
    if hours < 2 * WEEK or not (instant % (24 * HOUR)).any():
        return _none()
    waited = before // HOUR < instant // HOUR
    for number in range(int(event.max(initial=-1)) + 1):
        mine = np.flatnonzero((event == number) & waited)
        if len(mine) < FEWEST:
            continue
        hour = instant[mine] // HOUR - origin
        count = np.bincount(hour, minlength=hours).astype(np.float64)
        often = users_of(hour, user[mine], hours) >= k
        high = often & (count >= max(FEWEST, SHARE * len(event))) & (count > TIMES * _expected(count))
        starts = np.flatnonzero(high & ~np.concatenate([[False], high[:-1]]))
        ends = np.flatnonzero(high & ~np.concatenate([high[1:], [False]])) + 1
        found += [(number, int(low), int(high)) for low, high in zip(starts, ends, strict=True)]
    if not found:
        return _none()
    rows = [_rows(event, before // HOUR - origin, instant // HOUR - origin, burst) for burst in found]
    order = sorted(range(len(found)), key=lambda place: -len(rows[place]))[:MOST]
    chosen = np.array([found[place] for place in order])
    begin, end = ((chosen[:, side] + origin) * HOUR for side in (1, 2))
    parts = [
        _by_age(first - before[rows[place]], instant[rows[place]] - first, user[rows[place]], k)
        for first, place in zip(begin, order, strict=True)
    ]
    waits, tables = np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])
    return Bursts(chosen[:, 0], begin, end, waits, tables)


def _by_age(wait: I64, after: I64, user: I64, k: int) -> tuple[I64, F64]:
    """Where the waits of one burst are parted, rounded to hours, and the quantiles of each part: as many parts as have
    ENOUGH rows and k users each."""
    edges: list[int] = []
    for edge in np.unique(np.quantile(wait, np.linspace(0, 1, AGES + 1)[1:-1]).astype(np.int64) // HOUR * HOUR):
        below = (wait >= (edges[-1] if edges else wait.min())) & (wait < edge)
        if all(rows.sum() >= ENOUGH and len(np.unique(user[rows])) >= k for rows in (below, wait >= edge)):
            edges.append(int(edge))
    part = np.searchsorted(edges, wait, side="right")
    tables = []
    for number in range(len(edges) + 1):
        mine = part == number
        low, high = extremes(after[mine], user[mine], k)
        tables.append(np.clip(np.quantile(after[mine], np.linspace(0, 1, CELLS + 1)), low, high))
    missing = AGES - len(tables)
    edges += [np.iinfo(np.int64).max] * missing
    return np.array(edges, dtype=np.int64), np.stack(tables + tables[-1:] * missing)


def _none() -> Bursts:
    empty = np.zeros(0, dtype=np.int64)
    return Bursts(empty, empty, empty, np.zeros((0, AGES - 1), np.int64), np.zeros((0, AGES, CELLS + 1)))


def _rows(event: I64, since: I64, hour: I64, burst: tuple[int, int, int]) -> I64:
    return np.flatnonzero((event == burst[0]) & (since < burst[1]) & (hour >= burst[1]) & (hour < burst[2]))


def _expected(count: F64) -> F64:
    """By hour: the mean of four weeks around it, times how busy its hour of the week is. Its own hour is cut to twice
    the median of the same hour in all weeks, so that a burst does not hide itself."""
    hours = len(count)
    weeks = -(-hours // WEEK)
    table = np.concatenate([count, np.full(weeks * WEEK - hours, np.nan)]).reshape(weeks, WEEK)
    usual = np.nanquantile(table, 0.75, axis=0)
    cut = np.minimum(count, 4.0 * np.tile(usual, weeks)[:hours] + 3.0)
    sums = np.concatenate([[0.0], np.cumsum(cut)])
    low, high = np.maximum(np.arange(hours) - 2 * WEEK, 0), np.minimum(np.arange(hours) + 2 * WEEK, hours)
    local = (sums[high] - sums[low]) / (high - low)
    busy = np.tile(usual, weeks)[:hours] + 0.2 * usual.mean() + 0.02
    expected: F64 = local * busy / max(busy.mean(), 1e-9)
    return expected + 0.5
