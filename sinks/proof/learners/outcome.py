"""Outcomes: what becomes of a session or a user, told from what is known before. Which there are, the core decides.

    conversion    the session has the event that the product lives on, told from its first events without it
    last_event    the session ends with its most undecided last event, told from its first events
    long_session  the session is longer than the median of those that get as far, told from its first events
    return        the user comes back within so many days, told from the session that ends

An outcome takes part where both answers occur often enough in the core. Features: the first events with items and gaps
(for `return` the last ones, with counts of the session), hour, weekday, number of the session, days since the one
before. Trivial is an area under the curve of 0.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from sinks.proof.learners.coding import Coding, hour_of, new_items, weekday_of
from sinks.proof.learners.models import Features, Kind, probabilities
from sinks.proof.log import I64, Log, Mask

#: Event names that mean that a product got what it lives on.
CONVERSIONS = re.compile(
    r"purchas|order.?(completed|placed|paid)|check.?out.?(completed|done)|^buy|bought|subscri|donat|paid|payment|convert",
    re.I,
)
_DAY = 86_400_000_000
_FEWEST = 60
_COUNTED = 10


@dataclass(frozen=True)
class Outcome:
    """One outcome: `event` is a code where it is about an event, `first` how many events are known, `limit` what the
    length (or the days) must exceed (or keep within)."""

    name: str
    what: str
    first: int = 0
    event: int = -1
    limit: int = 0


@dataclass(frozen=True, eq=False)
class Rows:
    """Features, answers and users of the sessions that an outcome is asked of."""

    features: Features
    answers: npt.NDArray[np.bool_]
    user: I64
    weight: F64 | None = None

    def take(self, rows: Mask) -> Rows:
        """The rows of a mask."""
        weight = None if self.weight is None else self.weight[rows]
        return Rows(self.features.take(rows), self.answers[rows], self.user[rows], weight)


def outcomes_of(core: Log, conversion: str | None = None) -> tuple[Outcome, ...]:
    """The outcomes that a core has. `conversion` names the event that counts as one; found by its name otherwise."""
    first = int(np.clip(np.median(core.length) - 1, 1, 3))
    found = []
    names = core.words.events
    counts = np.bincount(core.event, minlength=len(names))
    wanted = re.compile(f"^{re.escape(conversion)}$") if conversion else CONVERSIONS
    named = [code for code, name in enumerate(names) if wanted.search(name)]
    for code in sorted(named, key=lambda code: -counts[code])[:1]:
        found.append(Outcome("conversion", f"the session has {names[code]}", first, code))
    reached = core.length > first
    last = core.event[core.start[1:] - 1][reached]
    if len(last) and len(names) > 1:
        shares = np.bincount(last, minlength=len(names)) / len(last)
        code = int(np.abs(shares - 0.5).argmin())
        found.append(Outcome("last_event", f"the session ends with {names[code]}", first, code))
    if reached.any():
        limit = int(np.median(core.length[reached]))
        found.append(Outcome("long_session", f"the session has more than {limit} events", first, limit=limit))
    if core.returns:
        days = _days(core)
        found.append(Outcome("return", f"the user comes back within {days} days", limit=days))
    return tuple(each for each in found if _decided(each, core))


def _days(core: Log) -> int:
    apart = (core.began[1:] - core.ended[:-1])[core.user[1:] == core.user[:-1]] / _DAY
    return next((days for days in (1, 3, 7, 14, 30, 90) if (apart <= days).mean() >= 0.4), 90)


def _decided(outcome: Outcome, core: Log) -> bool:
    answers = _answers(outcome, core)[1]
    return bool(min(answers.sum(), (~answers).sum()) >= _FEWEST)


def rows_of(outcome: Outcome, log: Log, coding: Coding) -> Rows:
    """The rows of an outcome in a log."""
    asked, answers = _answers(outcome, log)
    features = _history(log, coding) if outcome.name == "return" else _beginning(log, coding, outcome.first)
    weight = None if log.weight is None else log.weight[asked]
    return Rows(features.take(asked), answers, log.user[asked], weight)


def predicted(kind: Kind, train: Rows, test: Rows) -> F64:
    """How probable a model of the training rows finds a yes for each test row."""
    if not len(train.answers):
        return np.full(test.features.rows, 0.5)
    answers = train.answers.astype(np.int64)
    return probabilities(kind, train.features, answers, test.features, 2, train.weight)[:, 1]


def _answers(outcome: Outcome, log: Log) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which sessions are asked, and the answers of those."""
    if outcome.name == "return":
        following = np.full(log.sessions, np.iinfo(np.int64).max)
        same = log.user[1:] == log.user[:-1]
        following[:-1][same] = log.began[1:][same]
        asked = log.ended <= log.time.max() - outcome.limit * _DAY
        return asked, (following - log.ended <= outcome.limit * _DAY)[asked]
    asked = log.length > outcome.first
    if outcome.name == "long_session":
        return asked, (log.length > outcome.limit)[asked]
    if outcome.name == "last_event":
        return asked, (log.event[log.start[1:] - 1] == outcome.event)[asked]
    place = np.where(log.event == outcome.event, log.position, np.iinfo(np.int64).max)
    earliest = np.minimum.reduceat(place, log.start[:-1])
    asked = (log.length >= outcome.first) & (earliest >= outcome.first)
    return asked, (earliest < np.iinfo(np.int64).max)[asked]


def _context(log: Log) -> list[F64]:
    """Numbers that are known of each session as it begins."""
    since = np.full(log.sessions, -1.0)
    same = log.user[1:] == log.user[:-1]
    since[1:][same] = (log.began[1:] - log.ended[:-1])[same] / _DAY
    return [
        hour_of(log.began).astype(np.float64), weekday_of(log.began).astype(np.float64), np.log1p(log.number),
        np.log1p(np.maximum(since, 0)), (since >= 0).astype(np.float64),
    ]  # fmt: skip


def _at(log: Log, place: I64) -> tuple[I64, npt.NDArray[np.bool_]]:
    """The row at a place of each session, and whether there is one."""
    there = (place >= 0) & (place < log.length)
    return log.start[:-1] + np.where(there, place, 0), there


def _beginning(log: Log, coding: Coding, first: int) -> Features:
    categories, numbers = [], _context(log)
    for place in range(first):
        row, there = _at(log, np.full(log.sessions, place))
        categories += _coded(log, coding, row, there)
        if place:
            numbers.append(np.log1p(np.maximum(np.where(there, np.nan_to_num(log.gap[row]), 0), 0)))
    return Features(tuple(categories), np.column_stack([*numbers, _within(log, new_items(log), first)]))


def _history(log: Log, coding: Coding) -> Features:
    categories = []
    for back in range(1, 3):
        categories += _coded(log, coding, *_at(log, log.length - back))
    coded = coding.event(log.event)
    counts = [np.log1p(_within(log, coded == code)) for code in range(1, min(_COUNTED, coding.event_codes - 1) + 1)]
    numbers = [
        *_context(log), np.log1p(log.length), np.log1p((log.ended - log.began) / 1e6),
        np.log1p(_within(log, new_items(log))), *counts,
    ]  # fmt: skip
    return Features(tuple(categories), np.column_stack(numbers))


def _coded(log: Log, coding: Coding, row: I64, there: npt.NDArray[np.bool_]) -> list[tuple[I64, int]]:
    events, items = np.where(there, log.event[row], -1), np.where(there, log.item[row], -1)
    return [
        (coding.event(events), coding.event_codes), (coding.item(items), int(coding.items.max(initial=0)) + 1),
    ]  # fmt: skip


def _within(log: Log, values: npt.NDArray[np.bool_], first: int | None = None) -> F64:
    """How many rows of each session (of its first ones) a mask holds."""
    counted = values if first is None else values & (log.position < first)
    return np.add.reduceat(counted.astype(np.float64), log.start[:-1])
