"""How many users and sessions a run is expected to have by when, computed without playing.

Users come as the Bass model says. A user's first session is at sign-up; after each session the user is gone with the
churn hazard h, and otherwise comes back at the rate r, in activity time. So the expected number of sessions within an
age a (in weeks of activity) is 1 + (1 - h)(1 - exp(-r h a)) / h. What satisfaction does to r and h is taken as its
mean over a user's first sessions, found by moving the whole distribution of satisfaction from session to session.
Knows no events (see `expectation`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from personas.pack import Pack
from personas.population import DAY_MS, adopted_share
from personas.randomness import F64
from simulator.arrivals import WEEK_HOURS, Arrivals, churn_hazard, return_factor, settle
from simulator.expectation import Expectation

#: More days than this are computed in longer periods.
MOST_PERIODS = 1000
LEVELS = 101
#: Five points of a normal distribution and their weights (Gauss-Hermite), for rates that differ between users.
_POINTS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)


@dataclass(frozen=True)
class Forecast:
    """By period (a day, or several where there are very many): its first `day`, the `users` who have signed up by its
    end, and by persona the `sessions` [P, periods] that start in it. `churned` is the share of sessions that are a
    user's last, by persona."""

    first: tuple[datetime, ...]
    day: F64
    users: F64
    sessions: F64
    churned: F64


def forecast(pack: Pack, expectation: Expectation, users: int, days: float, start: datetime) -> Forecast:
    """The expected course of a run."""
    step = max(1.0, np.ceil(days / MOST_PERIODS))
    edges = np.append(np.arange(0.0, days, step), days)
    adopted = adopted_share(pack, edges)
    arrivals = Arrivals(pack, start)
    counts, hazards = [], []
    for row, persona in enumerate(pack.personas):
        instants = (edges * DAY_MS).astype(np.int64)
        clock = arrivals.activity(instants, np.full(len(edges), row)) / WEEK_HOURS
        hazard, factor = _loyalty(pack, expectation, row)
        rates = persona.sessions_per_week.median * np.exp(persona.sessions_per_week.spread * _POINTS) * factor
        points = zip(_WEIGHTS / _WEIGHTS.sum(), rates, strict=True)
        per_user = sum(weight * _sessions(clock, float(rate), hazard) for weight, rate in points)
        counts.append(users * persona.share * (np.diff(adopted)[:, None] * per_user).sum(axis=0))
        hazards.append(hazard)
    share = sum(persona.share for persona in pack.personas)
    return Forecast(
        first=tuple(start + timedelta(days=float(day)) for day in edges[:-1]),
        day=edges[:-1],
        users=users * adopted[1:],
        sessions=np.array(counts) / share,
        churned=np.array(hazards),
    )


def _sessions(clock: F64, rate: float, hazard: float) -> F64:
    """[sign-up period, period]: expected sessions of a user who signs up within the one, in the other. `clock` is the
    activity time at the edges of the periods; who signs up within a period does so at any activity time of it."""
    begin, end = clock[:-1, None], clock[1:, None]
    kill = rate * hazard
    scale = (1.0 - hazard) / hazard if hazard > 0 else rate

    def until(edge: F64) -> F64:
        """Expected sessions after the first up to an edge, averaged over the instant of the sign-up."""
        near, far = np.maximum(edge[None, :] - end, 0.0), np.maximum(edge[None, :] - begin, 0.0)
        width = np.maximum(far - near, 1e-12)
        if kill <= 0:
            return np.asarray(scale * (near + far) / 2)
        lost = (np.exp(-kill * near) - np.exp(-kill * far)) / (kill * width)
        return np.asarray(np.where(far > 0, scale * (1.0 - lost), 0.0))

    later = np.maximum(until(clock[1:]) - until(clock[:-1]), 0.0)
    return np.asarray(later + np.eye(len(clock) - 1))


def _loyalty(pack: Pack, expectation: Expectation, row: int) -> tuple[float, float]:
    """The churn hazard and the factor on the rate of return of a persona's users: means over the first sessions."""
    persona, loyalty = pack.personas[row], pack.product.loyalty
    problems = (expectation.intents[row][:, None] * expectation.problems[row]).sum(axis=0)
    reached = float((expectation.intents[row] * expectation.reached[row]).sum())
    level = np.linspace(0.0, 1.0, LEVELS)
    base = np.full(LEVELS, persona.satisfaction)
    drops = _drops(problems, np.array([problem.satisfaction for problem in pack.product.problems.values()]))
    moves = np.zeros((LEVELS, LEVELS))
    for drop, chance in drops:
        for goal, share in ((1.0, reached), (0.0, 1.0 - reached)):
            after = settle(level, base, np.full(LEVELS, drop), np.full(LEVELS, goal), loyalty) * (LEVELS - 1)
            low = np.minimum(after.astype(np.int64), LEVELS - 2)
            np.add.at(moves, (np.arange(LEVELS), low), chance * share * (1.0 - (after - low)))
            np.add.at(moves, (np.arange(LEVELS), low + 1), chance * share * (after - low))
    hazard_at = churn_hazard(np.full(LEVELS, persona.churn), level, base, loyalty)
    factor_at = return_factor(level, base, loyalty)
    here = np.zeros(LEVELS)
    here[round(persona.satisfaction * (LEVELS - 1))] = 1.0
    hazard = wait = total = 0.0
    for _ in range(12):
        here = here @ moves
        hazard += float((here * hazard_at).sum())
        here = here * (1.0 - hazard_at)
        total += 1.0
        wait += float((here / factor_at).sum() / here.sum())
        here /= here.sum()
    return hazard / total, total / wait


def _drops(problems: F64, falls: F64) -> list[tuple[float, float]]:
    """By how much satisfaction falls in a session, and how likely: each problem strikes a Poisson number of times."""
    found = {0.0: 1.0}
    for count, fall in zip(problems.tolist(), falls.tolist(), strict=True):
        chances = [np.exp(-count), count * np.exp(-count)]
        chances.append(1.0 - sum(chances))
        new: dict[float, float] = {}
        for times, chance in enumerate(chances):
            for drop, before in found.items():
                key = round(min(drop + times * fall, 1.0), 3)
                new[key] = new.get(key, 0.0) + before * chance
        found = new
    return [(drop, chance) for drop, chance in found.items() if chance > 1e-6]
