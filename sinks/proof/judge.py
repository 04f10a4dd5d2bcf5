"""Judges many training logs by the same tests: for curves, where each point is another log and only values count.

The tests are those of the measures of utility, with gradient boosting; a training log is taken whole, up to more rows
than there, because a mix of a little real with much synthetic data must not lose the little.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sinks.proof.evidence import Evidence
from sinks.proof.learners import next_event, next_item, outcome
from sinks.proof.learners.arms import Area
from sinks.proof.log import Log
from sinks.proof.measures.popularity import counter
from sinks.proof.measures.variety import popular
from sinks.proof.sampling import at_most

#: Rows that a model is trained on, rows it is tested on, and questions to a recommender, at most.
TRAINED, TESTED, ASKED = 120_000, 30_000, 12_000


class Judge:
    """The tests of one proof, made once; `skills` and the coverages are asked for each log."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._core, holdout = evidence.real
        test = at_most(holdout, int(holdout.sessions * min(1.0, TESTED / holdout.rows)) or 1, evidence.seed)
        self._coding = evidence.coding
        self._events = next_event.rows_of(test, self._coding)
        self._outcomes = {
            name: (what, outcome.rows_of(what, holdout, self._coding)) for name, what in evidence.outcomes.items()
        }
        self._asked = None
        if evidence.items_differ:
            asking = next_item.asked(at_most(holdout, max(1, holdout.sessions * ASKED // holdout.rows), evidence.seed))
            self._asked = {False: asking, True: asking.take(asking.new)}
        self._holdout = holdout

    @cached_property
    def trivial(self) -> dict[str, float]:
        """What a guess gets in each task."""
        rows, classes = next_event.rows_of(self._core, self._coding), self._coding.event_codes + 1
        guess = next_event.frequencies(rows, len(self._events.answers), classes)
        found = {
            "next event": float(next_event.hits(guess, self._events.answers).mean()),
            "next event, log-loss": float(next_event.log_likelihood(guess, self._events.answers).mean()),
        }
        return {**found, **self._recommended(next_item.popular(self._core)), **dict.fromkeys(self._outcomes, 0.5)}

    @cached_property
    def real(self) -> dict[str, float]:
        """What the whole core gets in each task."""
        return self.scores(self._core)

    def scores(self, log: Log) -> dict[str, float]:
        """What a model of a log gets in each task."""
        train = at_most(log, max(1, int(log.sessions * TRAINED / log.rows)), self._evidence.seed)
        rows = next_event.rows_of(train, self._coding)
        said = next_event.predicted("boosting", rows, self._events, self._coding.event_codes + 1)
        found = {
            "next event": float(next_event.hits(said, self._events.answers).mean()),
            "next event, log-loss": float(next_event.log_likelihood(said, self._events.answers).mean()),
            **self._recommended(next_item.taught(log)),
        }
        for name, (what, test) in self._outcomes.items():
            guess = outcome.predicted("boosting", outcome.rows_of(what, train, self._coding), test)
            found[name] = Area(guess, test.answers).weighted(np.ones(len(guess)))
        return found

    def skills(self, log: Log) -> dict[str, float | None]:
        """Where a log is between a guess (0) and the whole core (1); None where the core is no better than a guess."""
        scores = self.scores(log)
        return {
            task: (scores[task] - self.trivial[task]) / gain if (gain := real - self.trivial[task]) > 1e-4 else None
            for task, real in self.real.items()
        }

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

    def _recommended(self, model: next_item.Recommender) -> dict[str, float]:
        if self._asked is None:
            return {}
        names = {False: "next item", True: "new item"}
        return {
            names[only_new]: float((next_item.ranks(model, asked, only_new=only_new) <= 20).mean())
            for only_new, asked in self._asked.items()
            if len(asked.truth)
        }
