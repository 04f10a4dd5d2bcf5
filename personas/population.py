"""The population: users sampled from the personas of a pack, as arrays.

Every attribute of user i is a function of (seed, i): users are sampled in aligned blocks that are always computed
whole, and a shard keeps its own of them, so a user is the same in every sharding. Correlated traits follow a Gaussian
copula (Nelsen 2006): correlated normals, through the normal distribution function, into each trait's own quantiles.
Adoption follows the Bass model's inverse distribution function over the virtual calendar. User ids are a bijective
hash of (run, i) in base 32: unique, and without anything personal in them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.pack import Pack
from personas.persona import Distribution, Persona
from personas.provenance import RunIdentity
from personas.randomness import (
    F64,
    U64,
    cumulative_shares,
    fold,
    interpolate,
    mix,
    normal_cdf,
    pick,
    root_key,
    standard_normal,
    uniform,
)

BLOCK = 8192
DAY_MS = 86_400_000
UNNAMED_TASTE = 0.05
_ALPHABET = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", dtype=np.uint8)
_PERSONA, _DEVICE, _ADOPTION, _HOUR, _TRAITS, _TASTES = 1, 2, 3, 4, 100, 1000


@dataclass(frozen=True)
class Population:
    """n users. `number` is the user's place in the whole population, `key` its random key, `traits` [n, trait] from 0
    to 1 in alphabetical order of names, `tastes` [n, category] with rows that add up to 1, `patience` in events,
    `signed_up` in milliseconds after the start of the run."""

    number: npt.NDArray[np.int64]
    ids: npt.NDArray[np.bytes_]
    key: U64
    persona: npt.NDArray[np.int64]
    device: npt.NDArray[np.int64]
    traits: F64
    tastes: F64
    sessions_per_week: F64
    patience: F64
    satisfaction: F64
    churn: F64
    signed_up: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)

    def only(self, rows: npt.NDArray[Any]) -> Population:
        """The users of the given rows (indices or mask)."""
        return Population(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def trait_names(pack: Pack) -> tuple[str, ...]:
    """All traits of the pack's personas, in alphabetical order."""
    return tuple(sorted({name for persona in pack.personas for name in persona.traits}))


def device_names(pack: Pack) -> tuple[str, ...]:
    """All devices of the pack's personas, in alphabetical order."""
    return tuple(sorted({name for persona in pack.personas for name in persona.devices}))


def user_ids(run_id: str, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bytes_]:
    """`u` and 13 letters or digits: a bijection of the user's number under the run's key."""
    hashed = mix(numbers.astype(np.uint64) ^ root_key("user id", run_id))
    digits = (hashed[:, None] >> np.arange(0, 65, 5, dtype=np.uint64)[None, :]) & np.uint64(31)
    letters = np.empty((len(numbers), 14), dtype=np.uint8)
    letters[:, 0] = ord("u")
    letters[:, 1:] = _ALPHABET[digits.astype(np.int64)]
    return letters.reshape(-1).view("S14")


def sample_population(pack: Pack, identity: RunIdentity, keep: Any = None) -> Population:
    """All users of a run, or those for which `keep(ids) -> mask` is true (a shard)."""
    sampler = _Sampler(pack, identity)
    blocks = []
    for first in range(0, identity.users, BLOCK):
        block = sampler.block(first)
        inside = block.number < identity.users
        if keep is not None:
            inside &= keep(block.ids)
        blocks.append(block.only(inside))
    if not blocks:
        return sampler.block(0).only(np.zeros(BLOCK, dtype=bool))
    names = [field.name for field in fields(Population)]
    return Population(**{name: np.concatenate([getattr(block, name) for block in blocks]) for name in names})


class _Sampler:
    """The tables of a pack, computed once, from which blocks of users are sampled."""

    def __init__(self, pack: Pack, identity: RunIdentity) -> None:
        self.pack = pack
        self.identity = identity
        self.key = root_key("population", identity.seed)
        self.traits = trait_names(pack)
        self.devices = device_names(pack)
        self.shares = cumulative_shares(np.array([[persona.share for persona in pack.personas]]))
        self.device_shares = cumulative_shares(
            np.array([[persona.devices.get(name, 0.0) for name in self.devices] for persona in pack.personas])
        )
        categories = pack.catalog.categories
        self.tastes = np.array(
            [[persona.tastes.get(name, UNNAMED_TASTE) for name in categories] for persona in pack.personas]
        )
        if not any(persona.tastes for persona in pack.personas):
            self.tastes = np.ones_like(self.tastes)
        self.quantiles = [
            {name: quantiles(trait) for name, trait in persona.traits.items()} for persona in pack.personas
        ]
        self.hours = hours_of_week(pack)
        #: Monday 00:00 UTC is hour 0; the run starts at this hour of the week.
        self.start_day = identity.start.weekday()

    def block(self, first: int) -> Population:
        """Users first .. first + BLOCK - 1, whole."""
        number = np.arange(first, first + BLOCK, dtype=np.int64)
        key = fold(self.key, number)
        persona = pick(self.shares, np.zeros(BLOCK, dtype=np.int64), uniform(fold(key, _PERSONA)))
        device = pick(self.device_shares, persona, uniform(fold(key, _DEVICE)))
        count = len(self.traits)
        traits = np.full((BLOCK, count), 0.5)
        rate, patience = np.empty(BLOCK), np.empty(BLOCK)
        normals = np.stack([standard_normal(fold(key, _TRAITS + k)) for k in range(count + 2)], axis=1)
        for index, who in enumerate(self.pack.personas):
            rows = np.flatnonzero(persona == index)
            correlated = self._correlated(who, normals[rows])
            for column, name in enumerate(self.traits):
                if name in who.traits:
                    chances = normal_cdf(correlated[:, column])
                    traits[rows, column] = interpolate(self.quantiles[index][name], chances)
            rate[rows] = who.sessions_per_week.median * np.exp(who.sessions_per_week.spread * correlated[:, count])
            patience[rows] = who.patience.median * np.exp(who.patience.spread * correlated[:, count + 1])
        spread = np.array([who.taste_spread for who in self.pack.personas])[persona]
        tastes = self.tastes[persona]
        for column in range(tastes.shape[1]):
            tastes[:, column] *= np.exp(spread * standard_normal(fold(key, _TASTES + column)))
        tastes /= np.cumsum(tastes, axis=1)[:, -1:]
        return Population(
            number=number,
            ids=user_ids(self.identity.run_id, number),
            key=key,
            persona=persona,
            device=device,
            traits=traits,
            tastes=tastes,
            sessions_per_week=rate,
            patience=patience,
            satisfaction=np.array([who.satisfaction for who in self.pack.personas])[persona],
            churn=np.array([who.churn for who in self.pack.personas])[persona],
            signed_up=self._signed_up(key, persona),
        )

    def _correlated(self, persona: Persona, normals: F64) -> F64:
        """Normals with the persona's correlations, column by column (no BLAS: its sums depend on the shape)."""
        names = (*self.traits, "sessions_per_week", "patience")
        matrix = np.eye(len(names))
        for correlation in persona.correlations:
            a, b = (names.index(name) for name in correlation.between)
            matrix[a, b] = matrix[b, a] = correlation.rho
        factor = np.linalg.cholesky(_positive(matrix))
        result = np.zeros_like(normals)
        for row in range(len(names)):
            for column in range(row + 1):
                if factor[row, column] != 0.0:
                    result[:, row] += factor[row, column] * normals[:, column]
        return result

    def _signed_up(self, key: U64, persona: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The day from the Bass model, the time of the day from the persona's activity on that weekday."""
        days = adoption_day(self.pack, uniform(fold(key, _ADOPTION)))
        day = days.astype(np.int64)
        weekday = (day + self.start_day) % 7
        by_day = cumulative_shares(self.hours.reshape(-1, 7, 24).reshape(-1, 24) + 1e-12)
        row = persona * 7 + weekday
        chance = uniform(fold(key, _HOUR))
        hour = pick(by_day, row, chance)
        before = np.where(hour > 0, by_day[row, np.maximum(hour - 1, 0)], 0.0)
        within = (chance - before) / np.maximum(by_day[row, hour] - before, 1e-300)
        return np.asarray(day * DAY_MS + ((hour + np.clip(within, 0.0, 0.999999)) * 3_600_000).astype(np.int64))


def adoption_day(pack: Pack, chances: F64) -> F64:
    """The inverse of the Bass distribution function: the day by which this share of the users has signed up."""
    p, q = pack.product.adoption.innovation, pack.product.adoption.imitation
    days: F64 = -np.log((1.0 - chances) / (1.0 + chances * q / p)) / (p + q)
    return days


def adopted_share(pack: Pack, days: F64) -> F64:
    """The Bass distribution function: the share of the population that has signed up after so many days."""
    p, q = pack.product.adoption.innovation, pack.product.adoption.imitation
    decay = np.exp(-(p + q) * days)
    share: F64 = (1.0 - decay) / (1.0 + q / p * decay)
    return share


def hours_of_week(pack: Pack) -> F64:
    """[persona, 168] intensities with mean 1, Monday 00:00 UTC first."""
    hours = np.array([persona.activity.hours() for persona in pack.personas], dtype=np.float64)
    return np.asarray(hours / hours.mean(axis=1, keepdims=True))


def quantiles(distribution: Distribution, cells: int = 512) -> F64:
    """A trait's values at equally spaced probabilities from 0 to 1."""
    grid = np.linspace(0.0, 1.0, cells + 1)
    mean, sd = distribution.mean, distribution.sd
    if distribution.shape == "constant":
        return np.full(cells + 1, mean, dtype=np.float64)
    if distribution.shape == "uniform":
        assert distribution.low is not None and distribution.high is not None
        return np.asarray(distribution.low + grid * (distribution.high - distribution.low))
    assert mean is not None and sd is not None
    if distribution.shape == "normal":
        normal = NormalDist(mean, sd)
        low, high = normal.cdf(0.0), normal.cdf(1.0)
        inner = [normal.inv_cdf(min(max(low + u * (high - low), 1e-12), 1 - 1e-12)) for u in grid.tolist()]
        return np.asarray(np.clip(np.array(inner), 0.0, 1.0))
    total = mean * (1 - mean) / sd**2 - 1
    a, b = mean * total, (1 - mean) * total
    points = (np.arange(8192) + 0.5) / 8192
    log_density = np.array([(a - 1) * math.log(x) + (b - 1) * math.log1p(-x) for x in points.tolist()])
    cdf = np.cumsum(np.exp(log_density - log_density.max()))
    return np.asarray(np.interp(grid, np.concatenate([[0.0], cdf / cdf[-1]]), np.arange(8193) / 8192))


def _positive(matrix: F64) -> F64:
    """The correlations, moved towards independence until they can hold together (positive definite)."""
    identity = np.eye(len(matrix))
    for keep in np.linspace(1.0, 0.0, 21):
        candidate = keep * matrix + (1 - keep) * identity
        if np.linalg.eigvalsh(candidate)[0] > 1e-6:
            return np.asarray(candidate)
    return identity
