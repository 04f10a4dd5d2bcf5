"""Problems: planted edge cases, and the importance weight that makes over-sampling them harmless.

At every attempt of an event each of its problems strikes with its declared probability, times a multiplier in force
when the session started. The weight of a session is the likelihood of what happened under the declared rates over
that under the rates played, multiplied over all its attempts: so the weighted frequency of anything is the frequency
without over-sampling (importance sampling; Owen, Monte Carlo theory, chapter 9). Per attempt the played rates of all
problems together stay below one half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personas.randomness import F64, U64, fold, uniform
from simulator.pool import Pool
from simulator.world import I64, World

PURPOSE = 7
MOST_PER_ATTEMPT = 0.5


class Problems:
    """Strikes. `multipliers` are steps (instant, multiplier) in rising order of instants."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.multipliers: list[tuple[int, float]] = [(0, 1.0)]
        self._tables: dict[float, Rates] = {}

    def strike(self, pool: Pool, key: U64, situation: I64, event: I64) -> tuple[I64, I64]:
        """Which problem strikes each attempted event (-1: none), and the event that happens instead or all the same.

        Updates `dissatisfaction` and `weight` of the pool.
        """
        problem = np.full(len(pool), -1, dtype=np.int64)
        if not self.world.problem_rate.size:
            return problem, event
        attempt = situation * len(self.world.problem_rate) + event
        chance = uniform(fold(key, PURPOSE))
        for rows, rates in self._in_force(pool.started):
            self._strike(pool, problem, attempt, chance, rows, rates)
        hit = np.flatnonzero(problem >= 0)
        if not len(hit):
            return problem, event
        pool.dissatisfaction[hit] += self.world.problem_satisfaction[problem[hit]]
        instead = self.world.problem_emits[problem[hit]]
        happening = event.copy()
        happening[hit] = np.where(instead >= 0, instead, event[hit])
        return problem, happening

    def _strike(self, pool: Pool, problem: I64, attempt: I64, chance: F64, rows: slice | I64, rates: Rates) -> None:
        of = attempt[rows]
        struck = chance[rows] < rates.total[of]
        if rates.multiplier != 1.0:
            pool.weight[rows] *= np.where(struck, 1.0, rates.quiet[of])
        hit = np.flatnonzero(struck)
        if len(hit):
            which = (rates.cumulative[of[hit]] <= chance[rows][hit][:, None]).sum(axis=1)
            place = hit if isinstance(rows, slice) else rows[hit]
            problem[place] = which
            pool.weight[place] *= rates.struck[of[hit], which]

    def _in_force(self, started: I64) -> list[tuple[slice | I64, Rates]]:
        """The rates for each session, by the instant at which it started."""
        if len(self.multipliers) == 1:
            return [(slice(None), self._rates(self.multipliers[0][1]))]
        starts = np.array([start for start, _ in self.multipliers], dtype=np.int64)
        step = np.maximum(np.searchsorted(starts, started, side="right") - 1, 0)
        return [
            (np.flatnonzero(step == number), self._rates(self.multipliers[number][1]))
            for number in np.unique(step).tolist()
        ]

    def _rates(self, multiplier: float) -> Rates:
        if multiplier not in self._tables:
            self._tables[multiplier] = tabulate(self.world, multiplier)
        return self._tables[multiplier]


@dataclass(frozen=True)
class Rates:
    """For each attempt (situation times events plus event): `total` probability of trouble, `cumulative` by problem,
    and the factors on the weight when none (`quiet`) or one (`struck`) strikes."""

    multiplier: float
    total: F64
    cumulative: F64
    quiet: F64
    struck: F64


def tabulate(world: World, multiplier: float) -> Rates:
    """The rates that are played under a multiplier."""
    declared = (world.problem_legal[:, None, :] * world.problem_rate[None, :, :]).reshape(-1, len(world.problem_emits))
    raised = declared * multiplier
    total = np.cumsum(raised, axis=1)[:, -1:]
    played = raised * np.where(total > MOST_PER_ATTEMPT, MOST_PER_ATTEMPT / np.maximum(total, 1e-300), 1.0)
    cumulative = np.cumsum(played, axis=1)
    quiet = (1.0 - np.cumsum(declared, axis=1)[:, -1]) / (1.0 - cumulative[:, -1])
    struck = np.divide(declared, played, out=np.ones_like(declared), where=played > 0)
    return Rates(multiplier, cumulative[:, -1].copy(), cumulative, quiet, struck)
