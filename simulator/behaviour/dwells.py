"""Fits how long users stay after each event: the base's quantiles, moved, stretched and then bent towards the traces.

First the logarithm of the time is moved and stretched: normal around the base, with the variances (over all events)
under which the traces are likeliest. Then the distribution is the posterior mean of a Dirichlet process around what
came out (Ferguson 1973, Annals of Statistics 1): (k x that + n x the traces) / (k + n), with the k under which the
traces are likeliest, counted in cells. So few traces move a distribution, and many give it a shape of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from simulator.behaviour.traces import Traces
from simulator.world import I64

#: Nobody stays for less or more seconds than this; what traces say beyond is taken as this.
SHORTEST, LONGEST = 0.05, 7200.0
CELLS = 16
_VARIANCES = np.geomspace(1e-6, 4.0, 60)
_COUNTS = np.geomspace(4.0, 1e6, 60)


@dataclass(frozen=True)
class DwellsFit:
    """`dwell` [E, Q+1] as in Behaviour; `count` [E] how many times were known; `prior_count` the k of the process, in
    traces; standard deviations of `move` (of the logarithm, in the base's) and `stretch` (of its logarithm)."""

    dwell: F64
    count: F64
    prior_count: float
    move: float
    stretch: float


def fit_dwells(base: F64, traces: Traces) -> DwellsFit:
    """The quantiles that the traces speak for; `base` is the base's `dwell`."""
    events = len(base)
    known = np.flatnonzero(~np.isnan(traces.dwell) & (traces.event < events))
    event, weight = traces.event[known].astype(np.int64), traces.weight[known].astype(np.float64)
    seconds = np.log(np.clip(traces.dwell[known].astype(np.float64), SHORTEST, LONGEST))
    table = np.log(np.maximum(base, 1e-9))
    middle, spread = table.mean(axis=1), np.maximum(table.std(axis=1), 0.05)
    standard = (seconds - middle[event]) / spread[event]
    count: F64 = np.bincount(event, weight, minlength=events).astype(np.float64)
    many = np.maximum(count, 1e-9)
    mean = np.bincount(event, weight * standard, minlength=events) / many
    second = np.bincount(event, weight * (standard - mean[event]) ** 2, minlength=events)
    variance = (second + 1.0) / (count + 1.0)  # as if one more trace lay where the base says
    move, move_variance = _shrunk(mean, variance / many, count > 0)
    stretch, stretch_variance = _shrunk(0.5 * np.log(variance), 0.5 / many, count > 1)
    moved = middle[:, None] + spread[:, None] * (
        move[:, None] + np.exp(stretch)[:, None] * (table - middle[:, None]) / spread[:, None]
    )
    prior_count = _prior_count(moved, event, seconds, weight)
    dwell = np.array([_mixed(moved[e], seconds[event == e], weight[event == e], prior_count) for e in range(events)])
    return DwellsFit(np.exp(dwell), count, prior_count, float(np.sqrt(move_variance)), float(np.sqrt(stretch_variance)))


def _shrunk(estimate: F64, noise: F64, seen: npt.NDArray[np.bool_]) -> tuple[F64, float]:
    """Estimates with variances `noise`, shrunk towards 0; and the likeliest variance of the truth."""
    rows = np.flatnonzero(seen)
    if not len(rows):
        return np.zeros(len(estimate)), float(_VARIANCES[0])
    total = _VARIANCES[:, None] + noise[rows]
    likelihood = -0.5 * (np.log(total) + estimate[rows] ** 2 / total).sum(axis=1)
    variance = float(_VARIANCES[np.argmax(likelihood)])
    return np.where(seen, estimate * variance / (variance + noise), 0.0), variance


def _prior_count(moved: F64, event: I64, seconds: F64, weight: F64) -> float:
    """The likeliest k of the process, for counts in cells of equal probability (Dirichlet-multinomial)."""
    from scipy.special import gammaln

    edges = moved[:, :: (moved.shape[1] - 1) // CELLS]
    cell = (seconds[:, None] >= edges[event][:, 1:-1]).sum(axis=1)
    counts = np.bincount(event * CELLS + cell, weight, minlength=len(moved) * CELLS).reshape(-1, CELLS)
    counts = counts[counts.sum(axis=1) > 0]
    k = _COUNTS[:, None]
    likelihood = (gammaln(k) - gammaln(k + counts.sum(axis=1))).sum(axis=1)
    cells = gammaln(counts.ravel()[None, :] + k / CELLS) - gammaln(k / CELLS)
    return float(_COUNTS[np.argmax(likelihood + cells.sum(axis=1))])


def _mixed(quantiles: F64, seconds: F64, weight: F64, prior_count: float) -> F64:
    """Quantiles of the mixture of a distribution, that counts `prior_count`, and weighted values."""
    if not len(seconds):
        return quantiles
    size = len(quantiles)
    inner = np.full(size, prior_count / (size - 1))
    inner[[0, -1]] /= 2
    values, mass = np.concatenate([quantiles, seconds]), np.concatenate([inner, weight])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(mass[order]) - 0.5 * mass[order]
    chances = np.linspace(0.0, 1.0, size) * (reached[-1] - reached[0]) + reached[0]
    return np.asarray(np.interp(chances, reached, values[order]))
