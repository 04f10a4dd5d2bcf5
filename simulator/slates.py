"""Slates: which items are shown, in which positions, and with which probability.

The ranking policy is stochastic on purpose, and simple enough that its propensities are exact: position k of page p
holds the item ranked p K + k, or, with probability `exploration`, a random item among those whose rank is k modulo K.
Positions so draw from disjoint sets (no item twice), and the probability of every item in every position is known:
(1 - e) [it is the ranked one] + e / (number of items of rank k modulo K). Items that are not launched yet are in no
ranking. Learning from logged slates with such propensities: Joachims, Swaminathan, Schnabel 2017 (WSDM).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.pack import Pack
from personas.population import UNNAMED_TASTE
from personas.randomness import F64, U64, exponential, fold, root_key, standard_normal
from simulator.world import I32, I64

DEPTH = 512
MAX_EPOCHS = 48
LONG_TAIL = 0.9
_SLOT = 64


@dataclass(frozen=True)
class Rankings:
    """All rankings. `ranked` [epoch, list, DEPTH] item numbers (-1 past the end), `length` [epoch, list]. Lists: one
    per category, then one per persona, then popular, then newest. `first_day` [epoch] is the virtual day from which an
    epoch counts. Per slate: `size`, `exploration`, `rule` (0 category, 1 personal, 2 popular, 3 newest)."""

    ranked: I32
    length: I64
    first_day: I64
    size: I64
    exploration: F64
    rule: I64
    examination: F64
    categories: int
    personas: int

    def list_of(self, slate: I64, category: I64, persona: I64) -> I64:
        """Which list a slate shows."""
        rule = self.rule[slate]
        last = self.categories + self.personas
        return np.where(rule == 0, category, np.where(rule == 1, self.categories + persona, last - 2 + rule))


def build_rankings(pack: Pack) -> Rankings:
    """Rank the catalogue for every rule, at every day on which something is launched."""
    items, categories = pack.catalog.items, pack.catalog.categories
    noise = standard_normal(np.array([root_key("popularity", item.id) for item in items], dtype=np.uint64))
    score = np.array([item.quality for item in items]) + LONG_TAIL * noise
    launch = np.array([item.launch_day for item in items])
    category = np.array([categories.index(item.category) for item in items])
    scores = [np.where(category == number, score, -np.inf) for number in range(len(categories))]
    for persona in pack.personas:
        taste = np.array([persona.tastes.get(name, UNNAMED_TASTE if persona.tastes else 1.0) for name in categories])
        scores.append(score + 1.5 * np.log(np.maximum(taste, 1e-3) / taste.max())[category])
    scores.append(score)
    scores.append(launch + 0.01 * score)
    orders = [np.argsort(-s, kind="stable")[: int(np.isfinite(s).sum())] for s in scores]
    days = np.unique(launch)
    days = days if len(days) <= MAX_EPOCHS else days[np.linspace(0, len(days) - 1, MAX_EPOCHS).astype(int)]
    ranked = np.full((len(days), len(orders), DEPTH), -1, dtype=np.int32)
    length = np.zeros((len(days), len(orders)), dtype=np.int64)
    for epoch, day in enumerate(days.tolist()):
        for row, order in enumerate(orders):
            present = order[launch[order] <= day][:DEPTH]
            ranked[epoch, row, : len(present)] = present
            length[epoch, row] = len(present)
    slates = list(pack.product.slates.values())
    rules = {"category": 0, "related": 0, "personal": 1, "popular": 2, "newest": 3}
    widest = max((slate.size for slate in slates), default=1)
    return Rankings(
        ranked=ranked,
        length=length,
        first_day=days.astype(np.int64),
        size=np.array([slate.size for slate in slates], dtype=np.int64),
        exploration=np.array([slate.exploration for slate in slates]),
        rule=np.array([rules[slate.ranking] for slate in slates], dtype=np.int64),
        examination=np.array([[s.examination**k for k in range(widest)] for s in slates]).reshape(len(slates), widest),
        categories=len(categories),
        personas=len(pack.personas),
    )


def show(
    rankings: Rankings, slate: I64, listed: I64, page: npt.NDArray[Any], day: I64, key: U64
) -> tuple[I32, npt.NDArray[np.bool_]]:
    """The items [n, widest] shown (-1: nothing in this position), and where the ranked item stands.

    A page past the end of a ranking shows its last page. The second result, together with the slate and its list, is
    what the propensities follow from (see `propensity_codes`).
    """
    slot = np.arange(rankings.examination.shape[1])
    size = rankings.size[slate]
    epoch = np.maximum(np.searchsorted(rankings.first_day, day, side="right") - 1, 0)
    length = rankings.length[epoch, listed]
    page = np.minimum(page, np.maximum(length - 1, 0) // size)
    rank = (page * size)[:, None] + slot
    inside = (slot < size[:, None]) & (rank < length[:, None])
    bits = fold(key[:, None], _SLOT + slot[None, :])
    explore = inside & ((bits >> np.uint64(32)).astype(np.float64) < (rankings.exploration * 2.0**32)[slate][:, None])
    as_ranked = np.ones(rank.shape, dtype=bool)
    rows, slots = np.nonzero(explore)
    if len(rows):
        alike = (length[rows] - slots + size[rows] - 1) // size[rows]
        low = (bits[rows, slots] & np.uint64(0xFFFFFFFF)).astype(np.float64) * 2.0**-32
        other = slots + (low * alike).astype(np.int64) * size[rows]
        as_ranked[rows, slots] = other == rank[rows, slots]
        rank[rows, slots] = other
    start = (epoch * rankings.ranked.shape[1] + listed) * DEPTH
    items = rankings.ranked.take(start[:, None] + np.where(inside, rank, 0))
    return np.where(inside, items, np.int32(-1)), as_ranked


def grant(items: I32, wishes: I32, size: I64, examination: F64, key: U64) -> I32:
    """Slates [n, widest] that also show `wishes` (items, or -1) in the place of others, most likely where people look.
    An item that is shown already stays where it is; at most `size` fit in."""
    slot = np.arange(items.shape[1])
    inside = slot < size[:, None]
    kept = (items[:, :, None] == wishes[:, None, :]).any(axis=2) & (items >= 0)
    # the exponential race: places in the order of random times, of which those that are looked at more come earlier
    race = exponential(fold(key[:, None], _SLOT + slot[None, :])) / np.maximum(examination, 1e-9)
    race = np.where(items >= 0, race, 1e6 + slot)  # empty places come last, and one after the other: a list has no gaps
    race[kept | ~inside] = np.inf
    order = np.argsort(race, axis=1, kind="stable")
    free = np.isfinite(race).sum(axis=1)
    granted, used = items.copy(), np.zeros(len(items), dtype=np.int64)
    for column in range(wishes.shape[1]):
        wish = wishes[:, column]
        rows = np.flatnonzero((wish >= 0) & ~(items == wish[:, None]).any(axis=1) & (used < free))
        granted[rows, order[rows, used[rows]]] = wish[rows]
        used[rows] += 1
    return granted


def propensity_codes(rankings: Rankings, slate: I64, listed: I64, day: I64, as_ranked: npt.NDArray[np.bool_]) -> I64:
    """The rows [n, widest] of `propensity_table` that hold the probability of what is shown."""
    size = rankings.size[slate]
    epoch = np.maximum(np.searchsorted(rankings.first_day, day, side="right") - 1, 0)
    length = rankings.length[epoch, listed]
    alike = np.maximum((length[:, None] - np.arange(as_ranked.shape[1]) + (size - 1)[:, None]) // size[:, None], 1)
    return np.asarray((slate * 2)[:, None] * (DEPTH + 1) + as_ranked * (DEPTH + 1) + alike)


def propensity_table(rankings: Rankings) -> F64:
    """For every slate, not as ranked or as ranked, and number of items that share a position: the probability with
    which the policy puts the shown item there."""
    alike = np.maximum(np.arange(DEPTH + 1), 1)
    explored = rankings.exploration[:, None] / alike[None, :]
    ranked = (1.0 - rankings.exploration)[:, None] + explored
    return np.stack([explored, ranked], axis=1).ravel()
