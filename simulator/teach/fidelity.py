"""How well held-out sessions of a tutor are predicted, with intervals: by the prior, by the student, by parts of it.

Per decision: the log-loss (nats; a move that is thought impossible counts as one chance in a million) and whether the
likeliest move was made. Over groups of decisions (a persona on a screen, 30 decisions or more): the total-variation
distance between what was done and what was expected, on average over decisions; `floor` is what it would be by chance
alone if what was expected were true. Intervals hold 95 % and come from a bootstrap over sessions, because decisions of
one session belong together (Efron, Tibshirani 1993, chapter 6; each session counts a Poisson number of times).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from personas.randomness import F64, fold, root_key, uniform
from simulator.behaviour.model import Behaviour
from simulator.behaviour.traces import Traces
from simulator.teach.predicting import next_event_chances
from simulator.world import I64, World

LEAST_CHANCE, LEAST_GROUP, REPEATS = 1e-6, 30, 200


@dataclass(frozen=True)
class Score:
    """A figure with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fidelity:
    """How well one Behaviour predicts. `name` says which, `sessions` how many it learnt from and `dollars` what they
    cost. `gain_per_dollar`: nats per decision that it is better than the prior, for each dollar (None for free);
    `total_variation` is None where no group is large enough."""

    name: str
    sessions: int
    dollars: float
    log_loss: Score
    top_1: Score
    total_variation: Score | None
    floor: float
    gain_per_dollar: float | None = None

    def told(self) -> dict[str, Any]:
        """Plain rounded values, for lineage and machines."""
        told: dict[str, Any] = _rounded(asdict(self))
        return told


class HeldOut:
    """Sessions that nobody learnt from, and the bootstrap over them: the same for every Behaviour that is judged."""

    def __init__(self, traces: Traces, world: World, seed: int) -> None:
        self.traces, self.world = traces, world
        key = fold(root_key("bootstrap", seed), np.arange(REPEATS))
        numbers = uniform(fold(key[:, None], np.arange(max(traces.sessions, 1))[None, :]))
        counts = np.searchsorted(_POISSON, numbers, side="right").astype(np.float64)
        #: [1 + repeats, sessions]: how often each counts; the first row is the sample itself.
        self.counts = np.concatenate([np.ones((1, counts.shape[1])), counts])
        self.group = self._groups()

    def _groups(self) -> I64:
        """For each decision its group, -1 where that is too small."""
        screens = np.array([self.world.situations.split(s)[0] for s in sorted(self.world.situations.moves)])
        group = self.traces.persona.astype(np.int64) * len(self.world.situations.screens)
        group = group + screens[self.traces.situation]
        size = np.bincount(group, minlength=1)
        return np.where(size[group] >= LEAST_GROUP, group, -1)

    def judge(self, name: str, behaviour: Behaviour, sessions: int = 0, dollars: float = 0.0) -> Fidelity:
        """How well a Behaviour predicts these sessions."""
        traces, row = self.traces, np.arange(len(self.traces))
        chances = next_event_chances(traces, behaviour, self.world)
        event = traces.event.astype(np.int64)
        loss = -np.log(np.maximum(chances[row, event], LEAST_CHANCE))
        hit = (chances.argmax(axis=1) == event).astype(np.float64)
        number = np.bincount(traces.session, minlength=self.counts.shape[1])
        decisions = np.maximum(np.einsum("rs,s->r", self.counts, number), 1.0)

        def mean(values: F64) -> F64:
            sums = np.bincount(traces.session, values, minlength=self.counts.shape[1])
            return np.asarray(np.einsum("rs,s->r", self.counts, sums) / decisions)

        distance, floor = self._distance(chances, event)
        far = None if distance is None else _score(distance)
        return Fidelity(name, sessions, dollars, _score(mean(loss)), _score(mean(hit)), far, floor)

    def _distance(self, chances: F64, event: I64) -> tuple[F64 | None, float]:
        """[1 + repeats] distances over groups (None where there are none), and the floor of the first."""
        rows = np.flatnonzero(self.group >= 0)
        if not len(rows):
            return None, 0.0
        _, group = np.unique(self.group[rows], return_inverse=True)
        moves, groups = chances.shape[1], int(group.max()) + 1
        made = np.eye(moves)[event[rows]] - chances[rows]
        session = self.traces.session[rows]
        found = []
        for counts in self.counts:
            weight = counts[session]
            sums = [np.bincount(group, weight * made[:, move], minlength=groups) for move in range(moves)]
            found.append(0.5 * np.abs(np.stack(sums)).sum() / max(weight.sum(), 1.0))
        expected = np.stack([np.bincount(group, chances[rows, move], minlength=groups) for move in range(moves)])
        spread = np.stack([np.bincount(group, p * (1 - p), minlength=groups) for p in chances[rows].T])
        floor = 0.5 * np.sqrt(2.0 / np.pi * np.where(expected > 0, spread, 0.0)).sum() / len(rows)
        return np.array(found), float(floor)


def _score(values: F64) -> Score:
    """The first value is the sample's, the others are its repetitions. Drawing again makes every distance longer, so
    they are moved until their mean is the sample's value; that of a mean of decisions is there already."""
    low, high = np.quantile(values[1:], (0.025, 0.975)) - values[1:].mean() + values[0]
    return Score(float(values[0]), max(float(low), 0.0), float(high))


def _rounded(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _rounded(value) for name, value in told.items()}
    return round(told, 6) if isinstance(told, float) else told


#: The distribution function of a Poisson number with mean 1.
_POISSON = np.cumsum([np.exp(-1.0) / float(np.prod(np.arange(1, k + 1))) for k in range(12)])
