"""Next event or end: what a session does after each of its events, from all that came before in it.

One row for each event of a session; the answer is the event that follows, or the end. Features: the last three events
and the last item (frequent ones by name), place in the session, seconds since the last event and since the first, hour
and weekday, how often each frequent event was there, how many different items, whether the last was seen before, and
how long the last event repeats. Trivial: how frequent each answer is in the core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personas.randomness import F64
from sinks.proof.learners.coding import Coding, before, hour_of, new_items, running, weekday_of
from sinks.proof.learners.models import SMOOTHING, Features, Kind, probabilities
from sinks.proof.log import I64, Log, Mask

_COUNTED = 10


@dataclass(frozen=True, eq=False)
class Rows:
    """Features and answers of a log; the answer 0 is the end, others are codes of events."""

    features: Features
    answers: I64
    user: I64
    weight: F64 | None = None

    def take(self, rows: Mask) -> Rows:
        """The rows of a mask."""
        weight = None if self.weight is None else self.weight[rows]
        return Rows(self.features.take(rows), self.answers[rows], self.user[rows], weight)


def rows_of(log: Log, coding: Coding) -> Rows:
    """A row for each event of the log."""
    following = np.full(log.rows, -1, np.int64)
    following[:-1] = log.event[1:]
    following[log.start[1:] - 1] = -1
    last = [coding.event(log.event), coding.event(before(log, log.event, 1)), coding.event(before(log, log.event, 2))]
    new = new_items(log)
    counts = [np.log1p(running(log, last[0] == code)) for code in range(1, min(_COUNTED, coding.event_codes - 1) + 1)]
    changed = np.r_[True, last[0][1:] != last[0][:-1]] | (log.position == 0)
    place = np.arange(log.rows)
    run = place - np.maximum.accumulate(np.where(changed, place, 0))
    numbers = [
        log.position.astype(np.float64), np.log1p(log.position), np.minimum(log.position, 3.0),
        np.log1p(np.nan_to_num(np.maximum(log.gap, 0))), np.log1p((log.time - log.began[log.session]) / 1e6),
        hour_of(log.time).astype(np.float64), weekday_of(log.time).astype(np.float64), np.log1p(running(log, new)),
        ((log.item >= 0) & ~new).astype(np.float64), np.log1p(run), *counts,
    ]  # fmt: skip
    size = coding.event_codes
    items = int(coding.items.max(initial=0)) + 1
    features = Features(
        (*((codes, size) for codes in last), (coding.item(log.item), items)), np.column_stack(numbers), ((0, 1), (1, 2))
    )
    weight = None if log.weight is None else log.weight[log.session]
    return Rows(features, coding.event(following), log.user[log.session], weight)


def predicted(kind: Kind, train: Rows, test: Rows, classes: int) -> F64:
    """Probabilities of each answer for the rows of a test log, by a model of the training log."""
    return probabilities(kind, train.features, train.answers, test.features, classes, train.weight)


def frequencies(train: Rows, rows: int, classes: int) -> F64:
    """What the trivial arm says of every row."""
    counts = np.bincount(train.answers, minlength=classes)
    shares = (1 - SMOOTHING) * counts / counts.sum() + SMOOTHING / classes
    return np.broadcast_to(shares, (rows, classes))


def hits(probability: F64, answers: I64) -> F64:
    """1 for each row whose most probable answer is right."""
    return np.asarray(probability.argmax(axis=1) == answers, dtype=np.float64)


def log_likelihood(probability: F64, answers: I64) -> F64:
    """The natural logarithm of the probability that each row's true answer was given."""
    return np.asarray(np.log(probability[np.arange(len(answers)), answers]))
