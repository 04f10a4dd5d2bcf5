"""Fits how an item is chosen from a slate: a conditional logit over the items shown, shrunk towards a base.

The logarithm of an item's weight is (taste exponent) x log taste + log appeal + log of the chance that the place is
looked at (the ranking's own, not estimated) + a factor for items that were opened lately. Estimated are the exponent,
that factor, how much quality and price (for users who mind it) count, and an effect of each item. All are normal around
the base; the variance of the items' effects is the one under which the traces are likeliest (see `moves`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from personas.pack import Pack
from personas.randomness import F64
from simulator.behaviour.model import F32, Behaviour
from simulator.behaviour.prior import dearness
from simulator.behaviour.traces import Choices
from simulator.slates import Rankings

#: What counts besides the items themselves, in the order of the fit.
COMMON = ("taste", "seen", "quality", "price")
COMMON_VARIANCE, FIRST_VARIANCE, VARIANCES = 1.0, 0.1, (1e-7, 4.0)
ROUNDS, STEPS = 6, 40


@dataclass(frozen=True)
class PicksFit:
    """What was found: effects by name (added to the base's, quality and price per unit of theirs), those of items [I]
    with the standard deviation that they were drawn from, how many of them the traces determined, and the mean
    log-loss (nats) over the choices before and after."""

    common: dict[str, float]
    items: F64
    spread: float
    determined: float
    log_loss_before: float
    log_loss: float


def fit_picks(base: Behaviour, choices: Choices, pack: Pack, rankings: Rankings) -> PicksFit:
    """The effects that the choices speak for."""
    from scipy.optimize import minimize  # takes a third of a second

    there = choices.shown >= 0
    item = np.maximum(choices.shown, 0)
    row, level = np.arange(len(choices)), choices.level.astype(np.int64)
    taste = np.log(np.maximum(choices.taste.astype(np.float64), 1e-9))
    minds = (level / (len(base.appeal) - 1))[:, None]
    features = np.stack([taste, choices.known, _quality(pack)[item], -minds * dearness(pack)[item]])
    offset = base.taste * taste + np.log(np.maximum(base.appeal[level[:, None], item], 1e-12))
    offset += np.log(rankings.examination[choices.slate.astype(np.int64)])
    offset += np.log(max(base.seen, 1e-6)) * choices.known
    offset = np.where(there, offset, -np.inf)
    place, count = choices.place.astype(np.int64), base.appeal.shape[1]

    def evaluate(effects: F64) -> tuple[float, F64, F64]:
        common, of_item = effects[: len(COMMON)], effects[len(COMMON) :]
        eta = offset + np.einsum("f,fnw->nw", common, features) + of_item[item]
        eta -= eta.max(axis=1, keepdims=True)
        chance = np.exp(eta)
        sums = chance.sum(axis=1)
        loss = float((np.log(sums) - eta[row, place]).sum())
        chance /= sums[:, None]
        bend = np.bincount(item.ravel(), (chance * (1.0 - chance)).ravel(), minlength=count).astype(np.float64)
        chance[row, place] -= 1.0
        by_item = np.bincount(item.ravel(), chance.ravel(), minlength=count)
        return loss, np.concatenate([np.einsum("nw,fnw->f", chance, features), by_item]), bend

    effects, variance = np.zeros(len(COMMON) + count), FIRST_VARIANCE
    before, _, curvature = evaluate(effects)
    for _ in range(ROUNDS if len(choices) else 0):
        scale = np.sqrt(np.append(np.full(len(COMMON), COMMON_VARIANCE), np.full(count, variance)))

        def objective(standard: F64, scale: F64 = scale) -> tuple[float, F64]:
            loss, gradient, _ = evaluate(standard * scale)
            return loss + 0.5 * float((standard * standard).sum()), gradient * scale + standard

        found = minimize(objective, effects / scale, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
        effects = found.x * scale
        _, _, curvature = evaluate(effects)
        known = float((curvature * variance / (curvature * variance + 1.0)).sum())
        wanted = float((effects[len(COMMON) :] ** 2).sum()) / max(known * variance, 1e-12)
        variance = float(np.clip(variance * wanted**1.5, *VARIANCES))
    total = max(len(choices), 1)
    return PicksFit(
        common=dict(zip(COMMON, effects[: len(COMMON)].tolist(), strict=True)),
        items=effects[len(COMMON) :],
        spread=float(np.sqrt(variance)),
        determined=float((curvature * variance / (curvature * variance + 1.0)).sum()),
        log_loss_before=before / total,
        log_loss=evaluate(effects)[0] / total,
    )


def with_picks(base: Behaviour, found: PicksFit, pack: Pack) -> Behaviour:
    """The base with what was found. The appeal keeps its mean at each level: it also says how much goes into a bag."""
    levels = np.arange(len(base.appeal)) / (len(base.appeal) - 1)
    logs = found.items + found.common["quality"] * _quality(pack)
    logs = logs[None, :] - found.common["price"] * levels[:, None] * dearness(pack)[None, :]
    appeal = base.appeal * np.exp(logs)
    appeal *= base.appeal.mean(axis=1, keepdims=True) / appeal.mean(axis=1, keepdims=True)
    kept: F32 = appeal.astype(np.float32)
    return replace(
        base,
        taste=base.taste + found.common["taste"],
        seen=max(base.seen, 1e-6) * float(np.exp(found.common["seen"])),
        appeal=kept,
    )


def _quality(pack: Pack) -> F64:
    return np.array([item.quality for item in pack.catalog.items]) - 0.5
