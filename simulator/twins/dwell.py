"""How long it takes: gaps between events as classes of durations, and a duration drawn within its class.

Durations that many share exactly (nothing at all, an automatic closure after five days) are classes of their own; the
others lie in classes of equal counts, each with a table of quantiles; last come the bursts of the log's calendar (see
`bursts`). A network says which class comes next; so any
shape of distribution, and any dependence on the history, can be learnt. Weighed against parametric families
(log-normal, Weibull): logs have atoms, several modes and timers that no family has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from simulator.twins.bursts import CELLS, Bursts, bursts_of
from simulator.twins.log import I64
from simulator.twins.privacy import extremes, users_of

CLASSES = 64
ATOM_SHARE = 0.01
MOST_ATOMS = 16
SECOND = 1_000_000
HOUR = 3600 * SECOND
#: Waits from which on a class may be an hour wide, and parts of that hour in which it is looked for a clock.
LONG, PARTS = 6 * HOUR, 12
RESOLUTIONS = (86_400 * SECOND, 3600 * SECOND, 60 * SECOND, SECOND, 1000, 1)


@dataclass(frozen=True)
class Durations:
    """atoms [A]: microseconds that are classes 0..A-1. edges [B+1]: the other classes, rising, in
    microseconds; class A+b lies in [edges[b], edges[b+1]), and what is shorter or longer than all in the
    first or last. quantiles [B, CELLS+1]: log1p of seconds at equally spaced
    probabilities. bursts: classes from `plain` on. resolution: all times are multiples of so many microseconds."""

    atoms: I64
    edges: I64
    quantiles: F64
    resolution: int
    bursts: Bursts

    @property
    def plain(self) -> int:
        """How many classes there are besides bursts."""
        return len(self.atoms) + len(self.quantiles)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.plain + len(self.bursts)

    def class_of(self, event: I64, before: I64, instant: I64) -> I64:
        """The class of the wait from `before` until the event at `instant` (microseconds)."""
        burst = self.bursts.of(event, before, instant)
        return np.where(burst >= 0, self.plain + burst, self._plain_class(np.maximum(instant - before, 0)))

    def _plain_class(self, gap: I64) -> I64:
        inner = self.edges[1:-1]
        found = len(self.atoms) + np.searchsorted(inner, gap, side="right")
        if not len(self.atoms):
            return found
        place = np.minimum(np.searchsorted(self.atoms, gap), len(self.atoms) - 1)
        return np.where(self.atoms[place] == gap, place, np.minimum(found, self.plain - 1))

    def durations(self, kind: I64, numbers: F64) -> I64:
        """Microseconds for classes that are no bursts, and numbers in [0, 1)."""
        many = len(self.atoms)
        gap = np.append(self.atoms, 0)[np.minimum(kind, many)]
        if len(self.quantiles):
            row = np.maximum(kind - many, 0)
            place = numbers * CELLS
            cell = np.minimum(place.astype(np.int64), CELLS - 1)
            low = self.quantiles[row, cell]
            log = low + (place - cell) * (self.quantiles[row, cell + 1] - low)
            drawn = np.rint(np.expm1(log) * SECOND / self.resolution).astype(np.int64) * self.resolution
            gap = np.where(kind >= many, drawn, gap)
        return gap


def resolution_of(time: I64) -> int:
    """The coarsest of day, hour, minute, second, millisecond, microsecond that all times are multiples of."""
    return next(unit for unit in RESOLUTIONS if not (time % unit).any())


def durations_of(event: I64, before: I64, instant: I64, user: I64, k: int, resolution: int) -> Durations:
    """Classes for the waits before events (microseconds) of users: no class has fewer than `k` of them. Where fewer
    than `k` users wait, nothing of it is learnt."""
    bursts = bursts_of(event, before, instant, user, k)
    apart = bursts.of(event, before, instant) < 0
    gap, user = np.maximum(instant - before, 0)[apart], user[apart]
    if not len(gap):
        return Durations(np.zeros(1, np.int64), np.array([0, 0]), np.zeros((0, CELLS + 1)), resolution, bursts)
    values, code, count = np.unique(gap, return_inverse=True, return_counts=True)
    shared = (count >= max(ATOM_SHARE * len(gap), k)) & (users_of(code, user, len(values)) >= k)
    often = values[shared][np.argsort(-count[shared], kind="stable")][:MOST_ATOMS]
    atoms = np.sort(often)
    other = ~np.isin(gap, atoms)
    rest, owner = gap[other], user[other]
    if len(np.unique(owner)) < k:
        atoms = atoms if len(atoms) else np.zeros(1, np.int64)
        return Durations(atoms, np.array([0, 0]), np.zeros((0, CELLS + 1)), resolution, bursts)
    order = np.argsort(rest, kind="stable")
    rest, owner = rest[order], owner[order]
    inner = _by_the_clock(_inner_edges(rest, k), rest, instant[apart][other][order], k)
    low, high = _rounded(np.array(extremes(rest, owner, k)))
    low = min(int(low), *inner[:1] - 1) if len(inner) else int(low)
    high = max(int(high), low, *inner[-1:]) + 1
    cuts = np.searchsorted(rest, inner)
    parts = zip(np.split(rest, cuts), np.split(owner, cuts), strict=True)
    tables = [_quantiles(np.log1p(part / SECOND), whose, k) for part, whose in parts]
    edges = np.concatenate([[low], inner, [high]]).astype(np.int64)
    return Durations(atoms, edges, np.stack(tables), resolution, bursts)


def _inner_edges(rest: I64, k: int) -> I64:
    """Where sorted waits are cut into classes of about equal counts, none with fewer than k: rounded to three digits,
    as the waits themselves are single people's."""
    bins = int(np.clip(len(rest) // (CELLS * k), 1, CLASSES))
    found: list[int] = []
    last = 0
    for edge in np.unique(_rounded(rest[np.linspace(0, len(rest) - 1, bins + 1).astype(np.int64)[1:-1]])).tolist():
        place = int(np.searchsorted(rest, edge))
        if place - last >= k and len(rest) - place >= k:
            found.append(edge)
            last = place
    return np.array(found, dtype=np.int64)


def _by_the_clock(inner: I64, rest: I64, instant: I64, k: int) -> I64:
    """The cuts without those inside of an hour of long waits that end by the clock: where a job runs every hour, its
    minute is sharp and the wait is not, so that hour is one class, and the minute is for `calendar` to say. `instant`:
    when the sorted waits end."""
    found, rows = list[int](), inner.tolist()
    while rows:
        first = rows.pop(0)
        found.append(first)
        inside = [edge for edge in rows if edge < first + HOUR]
        low, high = np.searchsorted(rest, [first, first + HOUR])
        if first < LONG or not inside or _spread(instant[low:high] % HOUR) > _spread(rest[low:high] - first):
            continue
        rows = rows[len(inside) :]
        if min(high - np.searchsorted(rest, inside[-1]), np.searchsorted(rest, (rows or [rest[-1]])[0]) - high) >= k:
            rows.insert(0, first + HOUR)
    return np.array(found, dtype=np.int64)


def _spread(within: I64) -> float:
    """How evenly instants fall on the parts of an hour: their entropy in nats."""
    share = np.bincount(within // (HOUR // PARTS), minlength=PARTS) / max(len(within), 1)
    return float(-(share * np.log(np.maximum(share, 1e-12))).sum())


def _rounded(microseconds: npt.NDArray[Any]) -> I64:
    """Three significant digits."""
    unit = 10.0 ** np.maximum(np.floor(np.log10(np.maximum(microseconds, 1))) - 2, 0)
    rounded: I64 = np.rint(np.rint(microseconds / unit) * unit).astype(np.int64)
    return rounded


def _quantiles(sorted_values: F64, user: I64, k: int) -> F64:
    """Quantiles whose ends are means over k users, so that no single one's value is released."""
    return np.clip(np.quantile(sorted_values, np.linspace(0, 1, CELLS + 1)), *extremes(sorted_values, user, k))
