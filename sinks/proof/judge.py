"""Judges many training logs by the same tests: for curves, where each point is another log.

The tests are those of the measures of utility, with gradient boosting; a training log is taken whole, up to more rows
than there, because a mix of a little real with much synthetic data must not lose the little. Every log is judged on the
same bootstrap replicates of the hold-out's users, so that the difference of two logs has an interval, too: much
narrower than those of the two would suggest, as both are asked the same questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from sinks.proof.evidence import Evidence
from sinks.proof.learners import next_event, next_item, outcome
from sinks.proof.learners.arms import Area, blunt, unreliable
from sinks.proof.log import I64, Log
from sinks.proof.measures.popularity import counter
from sinks.proof.measures.variety import popular
from sinks.proof.sampling import at_most, replicates, summarised

#: Rows that a model is trained on, rows it is tested on, and questions to a recommender, at most.
TRAINED, TESTED, ASKED = 120_000, 30_000, 12_000
#: The tasks, and how the names of the measures that ask the same begin.
TASKS = {
    "next event": "next_event_accuracy", "next event, log-loss": "next_event_log_loss", "next item": "next_item",
    "new item": "new_item", "conversion": "outcome_conversion", "last_event": "outcome_last_event",
    "long_session": "outcome_long_session", "return": "outcome_return",
}  # fmt: skip


class Judge:
    """The tests of one proof, made once; `skills` and the coverages are asked for each log. `wanted` names measures:
    tasks of others are left out; where none of them asks a task, all are asked.

    Scores and skills come as arrays: the value first, then one for each bootstrap replicate."""

    def __init__(self, evidence: Evidence, wanted: Sequence[str] = ()) -> None:
        self._evidence, self._coding = evidence, evidence.coding
        self._core, self._holdout = evidence.real
        self._wanted = {task for task, begin in TASKS.items() if any(name.startswith(begin) for name in wanted)}
        self._wanted = self._wanted or set(TASKS)
        self._test = at_most(self._holdout, _sessions(self._holdout, TESTED), evidence.seed)
        self._events = next_event.rows_of(self._test, self._coding)
        self._outcomes = {
            name: (what, outcome.rows_of(what, self._holdout, self._coding))
            for name, what in evidence.outcomes.items()
            if name in self._wanted
        }
        self._asking = at_most(self._holdout, _sessions(self._holdout, ASKED), evidence.seed)
        self._asked: dict[str, next_item.Questions] = {}
        if evidence.items_differ and self._wanted & {"next item", "new item"}:
            every = next_item.asked(self._asking)
            questions = {"next item": every, "new item": every.take(every.new)}
            self._asked = {task: q for task, q in questions.items() if task in self._wanted and len(q.truth)}

    @cached_property
    def trivial(self) -> dict[str, F64]:
        """What a guess gets in each task."""
        rows, classes = next_event.rows_of(self._core, self._coding), self._coding.event_codes + 1
        guess = next_event.frequencies(rows, len(self._events.answers), classes)
        half = np.full(1 + self._evidence.replicates, 0.5)
        return {
            **self._told(guess), **self._recommended(next_item.popular(self._core)),
            **dict.fromkeys(self._outcomes, half),
        }  # fmt: skip

    @cached_property
    def real(self) -> dict[str, F64]:
        """What the whole core gets in each task."""
        return self._scores(self._core)

    @cached_property
    def unjudged(self) -> dict[str, str]:
        """The tasks that cannot be judged with this core, and why: skills of them would be noise."""
        gains = {task: score - self.trivial[task] for task, score in self.real.items()}
        found = {task: summarised(float(gain[0]), gain[1:]) for task, gain in gains.items()}
        return {task: reason for task, gain in found.items() if (reason := unreliable(gain) or blunt(gain))}

    def skills(self, log: Log) -> dict[str, F64]:
        """Where a log is between a guess (0) and the whole core (1), in each task that can be judged."""
        scores = self.real if log is self._core else self._scores(log)
        return {
            task: (scores[task] - self.trivial[task]) / (real - self.trivial[task])
            for task, real in self.real.items()
            if task not in self.unjudged
        }

    def _scores(self, log: Log) -> dict[str, F64]:
        train = at_most(log, _sessions(log, TRAINED), self._evidence.seed)
        found = self._recommended(next_item.taught(log)) if self._asked else {}
        if self._wanted & {"next event", "next event, log-loss"}:
            rows = next_event.rows_of(train, self._coding)
            found |= self._told(next_event.predicted("boosting", rows, self._events, self._coding.event_codes + 1))
        for name, (what, test) in self._outcomes.items():
            guess = outcome.predicted("boosting", outcome.rows_of(what, train, self._coding), test)
            area = Area(guess, test.answers)
            found[name] = np.array([area.weighted(row[test.user]) for row in self._weights(self._holdout)])
        return found

    def coverage(self, log: Log, *, tail: bool) -> float | None:
        """Share of the hold-out's items that are in the log; of its tail, the share of interactions with them."""
        if not self._evidence.items_differ:
            return None
        counts = np.asarray(counter(self._holdout).sum(axis=1)).ravel()
        asked = (counts > 0) & (~popular(self._core) if tail else True)
        there = np.zeros(len(counts), bool)
        there[np.unique(log.item[log.item >= 0])] = True
        weight = counts if tail else (counts > 0).astype(np.float64)
        return float(weight[asked & there].sum() / weight[asked].sum()) if asked.any() else None

    def _told(self, said: F64) -> dict[str, F64]:
        answers, user = self._events.answers, self._events.user
        found = {
            "next event": self._means(next_event.hits(said, answers), user, self._test),
            "next event, log-loss": self._means(next_event.log_likelihood(said, answers), user, self._test),
        }
        return {task: score for task, score in found.items() if task in self._wanted}

    def _recommended(self, model: next_item.Recommender) -> dict[str, F64]:
        return {
            task: self._means(
                next_item.ranks(model, asked, only_new=task == "new item") <= 20, asked.user, self._asking
            )
            for task, asked in self._asked.items()
        }

    def _means(self, values: npt.NDArray[np.generic], user: I64, log: Log) -> F64:
        weights, users = self._weights(log), len(log.users)
        return np.asarray(
            weights @ np.bincount(user, values.astype(np.float64), minlength=users)
            / np.maximum(weights @ np.bincount(user, minlength=users).astype(np.float64), 1e-12)
        )  # fmt: skip

    def _weights(self, log: Log) -> npt.NDArray[np.float32]:
        """Bootstrap weights of the users of a test log; the first row is 1 for each."""
        return self._evidence.once(
            ("judge", id(log)),
            lambda: (log, np.vstack([
                np.ones((1, len(log.users)), np.float32),
                replicates(log, self._evidence.seed, self._evidence.replicates),
            ])),
        )[1]  # fmt: skip


def _sessions(log: Log, rows: int) -> int:
    """How many sessions of a log have about so many rows."""
    return max(1, int(log.sessions * rows / log.rows))
