"""Bursts: hours of the log's own calendar in which something happened to many at once.

A mass closure, a campaign, an outage: no law of waiting times produces them, and everybody sees them in the data. A
burst is an hour (neighbours are joined) in which one event has many times what its day of the week, its hour and its
weeks give, done by at least k users. It becomes a class of durations of its own: *until the burst*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personas.randomness import F64
from simulator.twins.log import I64
from simulator.twins.privacy import extremes, users_of

HOUR, WEEK = 3_600_000_000, 168
CELLS = 32
MOST, TIMES, SHARE, FEWEST = 4, 8.0, 0.002, 30


@dataclass(frozen=True)
class Bursts:
    """event [B]; begin, end [B]: microseconds since 1970; quantiles [B, CELLS+1]: instants after `begin`."""

    event: I64
    begin: I64
    end: I64
    quantiles: F64

    def __len__(self) -> int:
        return len(self.event)

    def of(self, event: I64, instant: I64) -> I64:
        """The burst that an event at an instant belongs to; -1 for none."""
        found = np.full(len(event), -1)
        for number in range(len(self)):
            inside = (event == self.event[number]) & (instant >= self.begin[number]) & (instant < self.end[number])
            found[inside] = number
        return found

    def instants(self, number: I64, after: I64, chance: F64) -> I64:
        """Instants within bursts, after the given ones."""
        passed = ((self.begin[number][:, None] + self.quantiles[number] <= after[:, None]).sum(axis=1) - 1) / CELLS
        place = (np.clip(passed, 0.0, 1.0) * (1.0 - chance) + chance) * CELLS
        cell = np.minimum(place.astype(np.int64), CELLS - 1)
        low, high = self.quantiles[number, cell], self.quantiles[number, cell + 1]
        return np.asarray(self.begin[number] + (low + (place - cell) * (high - low)).astype(np.int64))


def bursts_of(event: I64, instant: I64, user: I64, k: int) -> Bursts:
    """The bursts of events, at instants (microseconds), by users."""
    found: list[tuple[int, int, int]] = []
    if not len(instant):
        return _none()
    origin = int(instant.min()) // HOUR
    hours = int(instant.max()) // HOUR - origin + 1
    if hours < 2 * WEEK or not (instant % (24 * HOUR)).any():
        return _none()
    for number in range(int(event.max(initial=-1)) + 1):
        mine = np.flatnonzero(event == number)
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
    rows = [_rows(event, instant // HOUR - origin, burst) for burst in found]
    order = sorted(range(len(found)), key=lambda place: -len(rows[place]))[:MOST]
    tables = []
    for place in order:
        after = instant[rows[place]] - (found[place][1] + origin) * HOUR
        least, most = extremes(after, user[rows[place]], k)
        tables.append(np.clip(np.quantile(after, np.linspace(0, 1, CELLS + 1)), least, most))
    chosen = np.array([found[place] for place in order])
    return Bursts(chosen[:, 0], (chosen[:, 1] + origin) * HOUR, (chosen[:, 2] + origin) * HOUR, np.stack(tables))


def _none() -> Bursts:
    empty = np.zeros(0, dtype=np.int64)
    return Bursts(empty, empty, empty, np.zeros((0, CELLS + 1)))


def _rows(event: I64, hour: I64, burst: tuple[int, int, int]) -> I64:
    return np.flatnonzero((event == burst[0]) & (hour >= burst[1]) & (hour < burst[2]))


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
