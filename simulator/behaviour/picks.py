"""Fits how an item is chosen from a slate: a conditional logit over the items shown, shrunk towards a base.

The logarithm of an item's weight is (taste exponent) x log taste + log appeal + log of the chance that the place is
looked at + a factor for items that were opened lately. Estimated are the exponent, that factor, how much quality and
price (for users who mind it) count, an effect of each item, and the position bias: the step from each place to the
next, added to the pack's own. Steps and not places, because a list that is read further down than the pack says differs
in every step a little. All are normal around the base; the variances of the items' effects and of the steps are those
under which the traces are likeliest (see `moves`).
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
    and places [W], each with the standard deviation that they (of places: the steps) were drawn from and how many of
    them the traces determined, and the mean log-loss (nats) over the choices before and after."""

    common: dict[str, float]
    items: F64
    places: F64
    place_spread: float
    place_determined: float
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
    offset += np.log(base.places)
    widest = len(base.places)
    parts = np.repeat(np.arange(3), [len(COMMON), widest - 1, count])
    common_end, place_end = len(COMMON), len(COMMON) + widest - 1

    def evaluate(effects: F64) -> tuple[float, F64, F64]:
        common, of_item = effects[:common_end], effects[place_end:]
        eta = offset + np.einsum("f,fnw->nw", common, features) + of_item[item]
        eta += np.append(0.0, np.cumsum(effects[common_end:place_end]))
        eta -= eta.max(axis=1, keepdims=True)
        chance = np.exp(eta)
        sums = chance.sum(axis=1)
        loss = float((np.log(sums) - eta[row, place]).sum())
        chance /= sums[:, None]
        beyond = chance[:, ::-1].cumsum(axis=1)[:, -2::-1]  # the chance of all places from each step on
        bend = np.concatenate(
            [
                np.zeros(common_end),
                (beyond * (1.0 - beyond)).sum(axis=0),
                np.bincount(item.ravel(), (chance * (1.0 - chance)).ravel(), minlength=count),
            ]
        )
        chance[row, place] -= 1.0
        by_item = np.bincount(item.ravel(), chance.ravel(), minlength=count)
        by_step = chance.sum(axis=0)[::-1].cumsum()[-2::-1]
        return loss, np.concatenate([np.einsum("nw,fnw->f", chance, features), by_step, by_item]), bend

    effects, variance = np.zeros(len(parts)), np.array([COMMON_VARIANCE, FIRST_VARIANCE, FIRST_VARIANCE])
    before, _, curvature = evaluate(effects)
    for _ in range(ROUNDS if len(choices) else 0):
        scale = np.sqrt(variance)[parts]

        def objective(standard: F64, scale: F64 = scale) -> tuple[float, F64]:
            loss, gradient, _ = evaluate(standard * scale)
            return loss + 0.5 * float((standard * standard).sum()), gradient * scale + standard

        found = minimize(objective, effects / scale, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
        effects = found.x * scale
        _, _, curvature = evaluate(effects)
        known = np.bincount(parts, curvature * scale**2 / (curvature * scale**2 + 1.0), minlength=3)
        wanted = np.bincount(parts, effects**2, minlength=3) / np.maximum(known * variance, 1e-12)
        variance[1:] = np.clip(variance * wanted**1.5, *VARIANCES)[1:]
    total = max(len(choices), 1)
    scaled = curvature * variance[parts]
    determined = np.bincount(parts, scaled / (scaled + 1.0), minlength=3)
    return PicksFit(
        common=dict(zip(COMMON, effects[:common_end].tolist(), strict=True)),
        items=effects[place_end:],
        places=np.append(0.0, np.cumsum(effects[common_end:place_end])),
        place_spread=float(np.sqrt(variance[1])),
        place_determined=float(determined[1]),
        spread=float(np.sqrt(variance[2])),
        determined=float(determined[2]),
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
        places=base.places * np.exp(found.places),
    )


def _quality(pack: Pack) -> F64:
    return np.array([item.quality for item in pack.catalog.items]) - 0.5
