"""Problems: planted edge cases, and the importance weight that makes over-sampling them harmless.

At every attempt of an event each of its problems strikes with its declared probability, times a multiplier in force
when the session started. The weight of a session is the likelihood of what happened under the declared rates over
that under the rates played, multiplied over all its attempts: so the weighted frequency of anything is the frequency
without over-sampling (importance sampling; Owen, Monte Carlo theory, chapter 9). Per attempt the played rates of all
problems together stay below one half.
"""

from __future__ import annotations

import numpy as np

from personas.randomness import U64, fold, uniform
from simulator.pool import Pool
from simulator.world import I64, World

PURPOSE = 7
MOST_PER_ATTEMPT = 0.5


class Problems:
    """Strikes. `multipliers` are steps (instant, multiplier) in rising order of instants."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.multipliers: list[tuple[int, float]] = [(0, 1.0)]
        self._any = world.problem_rate.sum(axis=1) > 0

    def strike(self, pool: Pool, key: U64, situation: I64, event: I64) -> tuple[I64, I64]:
        """Which problem strikes each attempted event (-1: none), and the event that happens instead or all the same.

        Updates `dissatisfaction` and `weight` of the pool.
        """
        problem = np.full(len(pool), -1, dtype=np.int64)
        rows = np.flatnonzero(self._any[event])
        if not len(rows):
            return problem, event
        declared = self.world.problem_rate[event[rows]] * self.world.problem_legal[situation[rows]]
        played = self._played(declared, pool.started[rows])
        cumulative = np.cumsum(played, axis=1)
        which = (cumulative <= uniform(fold(key[rows], PURPOSE))[:, None]).sum(axis=1)
        struck = which < declared.shape[1]
        place = np.minimum(which, declared.shape[1] - 1)
        one = np.arange(len(rows))
        quiet_declared = 1.0 - np.cumsum(declared, axis=1)[:, -1]
        quiet_played = 1.0 - cumulative[:, -1]
        true = np.where(struck, declared[one, place], quiet_declared)
        used = np.where(struck, played[one, place], quiet_played)
        pool.weight[rows] *= true / used
        hit = rows[struck]
        problem[hit] = place[struck]
        pool.dissatisfaction[hit] += self.world.problem_satisfaction[problem[hit]]
        instead = self.world.problem_emits[problem[hit]]
        happening = event.copy()
        happening[hit] = np.where(instead >= 0, instead, event[hit])
        return problem, happening

    def _played(self, declared: np.ndarray, started: I64) -> np.ndarray:  # type: ignore[type-arg]
        if len(self.multipliers) == 1 and self.multipliers[0][1] == 1.0:
            return declared
        starts = np.array([start for start, _ in self.multipliers], dtype=np.int64)
        values = np.array([value for _, value in self.multipliers])
        factor = values[np.maximum(np.searchsorted(starts, started, side="right") - 1, 0)]
        raised = declared * factor[:, None]
        total = np.cumsum(raised, axis=1)[:, -1:]
        limit = np.where(total > MOST_PER_ATTEMPT, MOST_PER_ATTEMPT / np.maximum(total, 1e-300), 1.0)
        return np.asarray(raised * limit)
