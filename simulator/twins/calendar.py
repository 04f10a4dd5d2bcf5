"""On which hour of the week and which minute of the hour an event falls: long waits end when people are at work, and
when timers run.

A class of durations says how long a wait was, roughly (see `dwell`); a wait of a day or two could end at any hour. So
several durations are drawn from the class and one of them is chosen by how much more often this event happens in its
hour than the class alone would give: importance resampling (Rubin 1987). The ratios are found by iterating: expected
counts under the ratios so far beside the counted ones, shrunk, and only for hours that k users have.
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
    instants = _candidates(durations, kind, before, fold(key, rows))
    counted = np.zeros_like(ratio)
    for place in places_of(before + gap):
        cell = event * PLACES + place
        often = users_of(cell, user, ratio.size) >= k
        counted += (np.bincount(cell, minlength=ratio.size) * often).reshape(ratio.shape)
    places = places_of(instants)
    for number in range(2 * ROUNDS):
        weight = ratio[event[:, None], places[0]] * ratio[event[:, None], places[1]]
        weight /= weight.sum(axis=1, keepdims=True)
        place = places[number % 2]
        cell = (event[:, None] * PLACES + place).ravel()
        expected = np.bincount(cell, weight.ravel(), minlength=ratio.size).reshape(ratio.shape)
        part = slice(0, WEEK) if number % 2 == 0 else slice(WEEK, PLACES)
        ratio[:, part] *= ((counted + SHRUNK) / (expected + SHRUNK))[:, part]
        ratio = np.clip(ratio, 0.002, 500.0)
    return ratio


def _candidates(durations: Durations, kind: I64, time: I64, bits: U64) -> I64:
    """[n, CANDIDATES] instants; stratified over the class."""
    place = (np.arange(CANDIDATES) + uniform(fold(bits, 1))[:, None]) / CANDIDATES
    gap = durations.durations(np.repeat(kind, CANDIDATES), place.ravel())
    return np.asarray(time[:, None] + gap.reshape(-1, CANDIDATES))


def land(durations: Durations, ratio: F64, wide: Bools, event: I64, kind: I64, time: I64, bits: U64) -> I64:
    """[n] instants: the time of the next event, for waits of these classes that began at `time`."""
    chance = uniform(fold(bits, 1))
    burst = np.flatnonzero(kind >= durations.plain)
    found = time + durations.durations(np.minimum(kind, durations.plain - 1), chance)
    if len(burst):
        instants = durations.bursts.instants(kind[burst] - durations.plain, time[burst], chance[burst])
        instants = instants // durations.resolution * durations.resolution
        found[burst] = np.maximum(instants, time[burst])
    rows = np.flatnonzero(wide[kind])
    if len(rows):
        instants = _candidates(durations, kind[rows], time[rows], bits[rows])
        hour, minute = places_of(instants)
        weight = ratio[event[rows][:, None], hour] * ratio[event[rows][:, None], minute]
        taken = draw(weight, uniform(fold(bits[rows], 2)))
        instant = instants[np.arange(len(rows)), taken]
        open_day = np.flatnonzero(_width(durations)[kind[rows]] > 2 * DAY)
        if len(open_day):
            instant[open_day] = _within_day(
                ratio, event[rows[open_day]], instant[open_day], fold(bits[rows[open_day]], 3)
            )
        resolution = durations.resolution
        found[rows] = np.maximum(instant // resolution * resolution, time[rows])
    return found


def _within_day(ratio: F64, event: I64, instant: I64, bits: U64) -> I64:
    """Instants of the same day, at an hour and a minute drawn by the ratios alone: the class leaves both open."""
    day = instant // DAY
    weekday = (day + 3) % 7
    hour = draw(ratio[:, :WEEK].reshape(len(ratio), 7, 24)[event, weekday], uniform(fold(bits, 1)))
    minute = draw(ratio[event, WEEK:], uniform(fold(bits, 2)))
    return np.asarray(day * DAY + hour * HOUR + minute * MINUTE + instant % MINUTE)
