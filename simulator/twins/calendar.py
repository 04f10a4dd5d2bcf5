"""On which hour of the week and which minute of the hour an event falls: long waits end when people are at work, and
when timers run.

A class of durations says how long a wait was, roughly (see `dwell`); a wait of a day or two could end at any hour. So
several durations are drawn from the class and one of them is chosen by how much more often this event happens in its
hour than the class alone would give: importance resampling (Rubin 1987). The ratios are found by iterating: expected
counts under the ratios so far beside the counted ones, shrunk, and only for hours that k users have.

Minutes are sharper than any few durations drawn from a class (a job that runs at two past every hour), so they are
not iterated: in classes of two hours and more the minute of a long wait is drawn by itself, in narrower ones there is a
candidate for nearly each minute of the class.
"""

from __future__ import annotations

import numpy as np

from personas.randomness import F64, U64, fold, uniform
from simulator.twins.dwell import Durations
from simulator.twins.fixed_point import draw
from simulator.twins.log import I64, Log
from simulator.twins.privacy import Bools, users_of

DAY, HOUR, MINUTE, WEEK = 86_400_000_000, 3_600_000_000, 60_000_000, 168
CANDIDATES, ROUNDS, SHRUNK = 16, 8, 10.0
#: Candidates in classes of between half an hour and two, and how many candidates a class of any width has at most.
BY_MINUTE = 64
#: Places in the calendar: hours of the week, then minutes of the hour.
PLACES = WEEK + 60
MOST = 60_000


def places_of(time: I64) -> tuple[I64, I64]:
    """The places of an instant in the calendar: its hour of the week, Monday 00:00 first, and its minute."""
    return (time // HOUR + 72) % WEEK, WEEK + time // MINUTE % 60


def wide_of(durations: Durations) -> Bools:
    """[classes]: whether a class is so wide that the minute is open."""
    return _width(durations) > 2 * MINUTE


def _width(durations: Durations) -> I64:
    """[classes]: the width of each class in microseconds; atoms and bursts have none."""
    width = np.diff(durations.edges) if len(durations.quantiles) else np.zeros(0, dtype=np.int64)
    return np.concatenate([np.zeros(len(durations.atoms)), width, np.zeros(len(durations.bursts))]).astype(np.int64)


def fit_calendar(log: Log, durations: Durations, k: int, key: np.uint64) -> F64:
    """[E, PLACES]: how much more often an event ends a long wait in an hour, and in a minute, than durations alone
    would give."""
    events = len(log.words["event"])
    inner = np.diff(log.session) == 0
    gap, before = np.maximum(np.diff(log.time)[inner], 0), log.time[:-1][inner]
    event, user = log.event[1:][inner], log.user[log.session][1:][inner]
    kind = durations.class_of(event, before, log.time[1:][inner])
    rows = np.flatnonzero(wide_of(durations)[kind])
    ratio = np.ones((events, PLACES))
    if not len(rows):
        return ratio
    rows = rows[np.argsort(fold(key, rows), kind="stable")[:MOST]]
    kind, before, event, user, gap = kind[rows], before[rows], event[rows], user[rows], gap[rows]
    hour, minute = places_of(before + gap)
    counted = _counted(event * PLACES + hour, user, ratio.shape, k)
    minutes = _counted(event * PLACES + minute, user, ratio.shape, k)[:, WEEK:]
    ratio[:, WEEK:] = (minutes + SHRUNK / 60) / ((minutes.sum(axis=1, keepdims=True) + SHRUNK) / 60)
    place = places_of(_candidates(durations, kind, before, fold(key, rows), CANDIDATES))[0]
    cell = event[:, None] * PLACES + place
    for _ in range(ROUNDS):
        weight = ratio.ravel()[cell]
        weight /= weight.sum(axis=1, keepdims=True)
        expected = np.bincount(cell.ravel(), weight.ravel(), minlength=ratio.size).reshape(ratio.shape)
        ratio[:, :WEEK] *= ((counted + SHRUNK) / (expected + SHRUNK))[:, :WEEK]
        ratio = np.clip(ratio, 0.002, 500.0)
    return ratio


def _counted(cell: I64, user: I64, shape: tuple[int, ...], k: int) -> F64:
    """How often each cell is met; nothing where fewer than `k` users meet it."""
    size = shape[0] * shape[1]
    return np.asarray((np.bincount(cell, minlength=size) * (users_of(cell, user, size) >= k)).reshape(shape))


def _candidates(durations: Durations, kind: I64, time: I64, bits: U64, many: int) -> I64:
    """[n, many] instants; stratified over the class."""
    place = (np.arange(many) + uniform(fold(bits, 1))[:, None]) / many
    gap = durations.durations(np.repeat(kind, many), place.ravel())
    return np.asarray(time[:, None] + gap.reshape(-1, many))


def land(durations: Durations, ratio: F64, wide: Bools, event: I64, kind: I64, time: I64, bits: U64) -> I64:
    """[n] instants: the time of the next event, for waits of these classes that began at `time`."""
    chance = uniform(fold(bits, 1))
    burst = np.flatnonzero(kind >= durations.plain)
    found = time + durations.durations(np.minimum(kind, durations.plain - 1), chance)
    if len(burst):
        instants = durations.bursts.instants(kind[burst] - durations.plain, time[burst], chance[burst])
        instants = instants // durations.resolution * durations.resolution
        found[burst] = np.maximum(instants, time[burst])
    width = np.where(wide[kind], _width(durations)[kind], 0)
    hourly = width >= 2 * HOUR
    for rows, many in (
        (np.flatnonzero(hourly | ((width > 0) & (width <= HOUR // 2))), CANDIDATES),
        (np.flatnonzero(~hourly & (width > HOUR // 2)), BY_MINUTE),
    ):
        if len(rows):
            instant = _chosen(durations, ratio, event[rows], kind[rows], time[rows], bits[rows], many)
            free = hourly[rows] & (instant - time[rows] >= 2 * HOUR)
            found[rows] = _minute(ratio, event[rows], instant, bits[rows], free)
    days = np.flatnonzero((width > 2 * DAY) & (found - time > DAY))
    if len(days):
        found[days] = _within_day(ratio, event[days], found[days], fold(bits[days], 3))
    resolution = durations.resolution
    return np.asarray(np.where(width > 0, np.maximum(found // resolution * resolution, time), found))


def _chosen(durations: Durations, ratio: F64, event: I64, kind: I64, time: I64, bits: U64, many: int) -> I64:
    """[n]: one of as many instants, by the hour, and in a class that leaves the hour open not by the minute."""
    instants = _candidates(durations, kind, time, bits, many)
    hour, minute = places_of(instants)
    weight = ratio[event[:, None], hour]
    weight *= np.where((_width(durations)[kind] >= 2 * HOUR)[:, None], 1.0, ratio[event[:, None], minute])
    taken = draw(weight, uniform(fold(bits, 2)))
    return np.asarray(instants[np.arange(len(event)), taken])


def _minute(ratio: F64, event: I64, instant: I64, bits: U64, free: Bools) -> I64:
    """The instants, with another minute of the same hour where it is free."""
    minute = draw(ratio[event, WEEK:], uniform(fold(bits, 4)))
    return np.asarray(np.where(free, instant // HOUR * HOUR + minute * MINUTE + instant % MINUTE, instant))


def _within_day(ratio: F64, event: I64, instant: I64, bits: U64) -> I64:
    """Instants of the same day, at an hour drawn by the ratios alone: the class leaves it open."""
    day = instant // DAY
    weekday = (day + 3) % 7
    hour = draw(ratio[:, :WEEK].reshape(len(ratio), 7, 24)[event, weekday], uniform(fold(bits, 1)))
    return np.asarray(day * DAY + hour * HOUR + instant % HOUR)
