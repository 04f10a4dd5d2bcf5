"""WHO comes: a persona as declared in `personas/*.yaml`, and the distributions that its traits follow.

A persona is an archetype with a share of the population; users are sampled from it (see `population`). What an LLM
needs to speak for it (story, voice) stands beside what the simulator needs to play it. Knows no product, no pack.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from personas.product import Amount, Declared, Name, Probability, Text, Weight

HOURS = 24
HOURS_OF_WEEK = 168
#: What a correlation may name besides the traits.
RESERVED = ("sessions_per_week", "patience")


class Distribution(Declared):
    """How a trait (0 to 1) is spread among the users of a persona.

    `normal` and `beta` take mean and sd (normal is cut at 0 and 1), `uniform` takes low and high, `constant` takes
    mean. The mean and sd of a normal that is cut are those before the cut.
    """

    shape: Literal["normal", "beta", "uniform", "constant"] = "normal"
    mean: Probability | None = None
    sd: Annotated[float, Field(gt=0, le=0.5)] | None = None
    low: Probability | None = None
    high: Probability | None = None

    @model_validator(mode="after")
    def _complete(self) -> Distribution:
        needed = {
            "normal": {"mean", "sd"},
            "beta": {"mean", "sd"},
            "uniform": {"low", "high"},
            "constant": {"mean"},
        }[self.shape]
        given = {name for name in ("mean", "sd", "low", "high") if getattr(self, name) is not None}
        if given != needed:
            raise ValueError(f"a {self.shape} distribution takes {sorted(needed)}, found {sorted(given)}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high")
        if self.shape == "beta" and self.mean is not None and self.sd is not None:
            if not 0 < self.mean < 1 or self.sd**2 >= self.mean * (1 - self.mean):
                raise ValueError("a beta distribution needs 0 < mean < 1 and sd**2 < mean * (1 - mean)")
        return self


class Correlation(Declared):
    """Correlation (of the underlying normals, a Gaussian copula) between two traits, or a trait and the reserved
    names `sessions_per_week` and `patience`."""

    between: tuple[Name, Name]
    rho: Annotated[float, Field(ge=-0.95, le=0.95)]


class Activity(Declared):
    """When the persona is active: relative intensity by hour, in UTC. Either `weekday` and `weekend` (24 numbers
    each, hour 0 first) or `week` (168 numbers, Monday 00:00 first)."""

    weekday: tuple[Weight, ...] | None = None
    weekend: tuple[Weight, ...] | None = None
    week: tuple[Weight, ...] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Activity:
        if self.week is not None:
            if self.weekday is not None or self.weekend is not None:
                raise ValueError("give either week, or weekday and weekend")
            if len(self.week) != HOURS_OF_WEEK:
                raise ValueError(f"week needs {HOURS_OF_WEEK} numbers, found {len(self.week)}")
        elif self.weekday is None or self.weekend is None:
            raise ValueError("give either week (168 numbers), or weekday and weekend (24 numbers each)")
        elif len(self.weekday) != HOURS or len(self.weekend) != HOURS:
            raise ValueError(f"weekday and weekend need {HOURS} numbers each")
        if sum(self.hours()) <= 0:
            raise ValueError("at least one hour must have an intensity above 0")
        return self

    def hours(self) -> tuple[float, ...]:
        """The 168 intensities of a week, Monday 00:00 UTC first."""
        if self.week is not None:
            return self.week
        assert self.weekday is not None and self.weekend is not None  # the validator saw to it
        return self.weekday * 5 + self.weekend * 2


class Persona(Declared):
    """An archetype. `share` is its part of the population; `tastes` are relative weights by catalogue category
    (a category that is not named has weight 0.05) and `taste_spread` how far users differ from them (sd of the
    logarithm); `patience` is after how many events a session tires; `churn` is the probability that a user at the
    persona's level of `satisfaction` never comes back after a session."""

    name: Name
    share: Annotated[float, Field(gt=0, le=1)]
    title: Text
    story: Text
    voice: Text
    traits: dict[Name, Distribution]
    correlations: tuple[Correlation, ...] = ()
    tastes: dict[str, Weight] = Field(default_factory=dict)
    taste_spread: Annotated[float, Field(ge=0, le=2)] = 0.5
    intents: dict[Name, Weight] = Field(min_length=1)
    activity: Activity
    devices: dict[Name, Weight] = Field(min_length=1)
    sessions_per_week: Amount
    patience: Amount
    satisfaction: Annotated[float, Field(gt=0, le=1)] = 0.75
    churn: Probability

    @model_validator(mode="after")
    def _consistent(self) -> Persona:
        for what in ("intents", "devices"):
            total = sum(getattr(self, what).values())
            if abs(total - 1) > 1e-6:
                raise ValueError(f"the probabilities of {what} must add up to 1, found {total:g}")
        for name in RESERVED:
            if name in self.traits:
                raise ValueError(f"a trait may not be called {name}")
        names = sorted({*self.traits, *RESERVED})
        rho: dict[frozenset[str], float] = {}
        for correlation in self.correlations:
            pair = frozenset(correlation.between)
            for name in correlation.between:
                if name not in names:
                    raise ValueError(f"correlations name {name!r}; known: {', '.join(names)}")
            if len(pair) < 2 or pair in rho:
                raise ValueError(f"each correlation is between two different names, once: {correlation.between}")
            rho[pair] = correlation.rho
        if not _hold_together([[1.0 if a == b else rho.get(frozenset((a, b)), 0.0) for b in names] for a in names]):
            raise ValueError("correlations that can hold at the same time (weaken one of them)")
        return self


def _hold_together(matrix: list[list[float]]) -> bool:
    """Whether a correlation matrix is positive definite: whether its Cholesky factor exists."""
    factor: list[list[float]] = []
    for i, row in enumerate(matrix):
        factor.append([])
        for j in range(i):
            known = sum(factor[i][k] * factor[j][k] for k in range(j))
            factor[i].append((row[j] - known) / factor[j][j])
        rest = row[i] - sum(value**2 for value in factor[i])
        if rest < 1e-6:
            return False
        factor[i].append(math.sqrt(rest))
    return True
