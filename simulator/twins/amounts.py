"""Numbers of which hardly two are the same (seconds, bytes, what was paid): classes of them, and a number within one.

What many share exactly (nothing at all, a list price) is a class of its own; the others lie in classes of about equal
counts, each of at least k users, with a few quantiles whose ends no single user decides. Weighed against keeping only
values that k users share: then most such columns are gone, or nothing is left of them but round numbers. Whole numbers
may as well be names (of a clerk, of a place), between which there is nothing: see `measured`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from simulator.twins.log import I64
from simulator.twins.privacy import extremes, users_of

CELLS, LEAST_ROWS, MOST_CLASSES = 8, 60, 24
ATOM_SHARE, MOST_ATOMS = 0.01, 16
MOST_DECIMALS = 6
UNEVEN = 5.0
_ALL = 0.99

Named = dict[str, npt.NDArray[Any]]


def amounts_of(values: F64, user: I64, k: int) -> tuple[I64, Named]:
    """The class of each row (-1: no number, or one that may not be told), and the arrays of the classes: `atoms` [A],
    `quantiles` [B, CELLS+1], `decimals` [1] (-1: any). `user`: whose row it is."""
    code = np.full(len(values), -1)
    there = np.flatnonzero(np.isfinite(values))
    known, whose = values[there], user[there]
    value, place, count = np.unique(known, return_inverse=True, return_counts=True)
    shared = (count >= max(ATOM_SHARE * len(known), k)) & (users_of(place, whose, len(value)) >= k)
    often = np.sort(np.flatnonzero(shared)[np.argsort(-count[shared], kind="stable")][:MOST_ATOMS])
    atom = np.full(len(value), -1)
    atom[often] = np.arange(len(often))
    code[there] = atom[place]
    rest = there[atom[place] < 0]
    rest = rest[np.argsort(values[rest], kind="stable")]
    tables: list[F64] = []
    for part in _parts(values[rest], user[rest], k):
        rows = rest[part]
        code[rows] = len(often) + len(tables)
        inner = np.quantile(values[rows], np.linspace(0, 1, CELLS + 1))
        tables.append(np.clip(inner, *extremes(values[rows], user[rows], k)))
    quantiles = np.stack(tables) if tables else np.zeros((0, CELLS + 1))
    return code, {"atoms": value[often], "quantiles": quantiles, "decimals": np.array([_decimals(known)])}


def measured(values: F64) -> bool:
    """Whether numbers are amounts. Whole ones may be names: then one is frequent and its neighbour is not, which chance
    alone would not do (variance beside mean, as of Poisson counts; what many share exactly is left aside)."""
    known = values[np.isfinite(values)]
    if _decimals(known) != 0:
        return len(known) > 0
    count = np.unique(known, return_counts=True)[1]
    count = count[count < ATOM_SHARE * len(known)] if (count < ATOM_SHARE * len(known)).any() else count
    one, other = count[:-1], count[1:]
    return bool(len(one)) and float(((one - other) ** 2 / (one + other)).mean()) < UNEVEN


def amounts(arrays: Mapping[str, npt.NDArray[Any]], code: I64, chance: F64) -> F64:
    """A number of each class, by chances in [0, 1); NaN for -1."""
    atoms, quantiles, decimals = arrays["atoms"], arrays["quantiles"], int(arrays["decimals"][0])
    found = np.append(atoms, np.nan)[np.where((code >= 0) & (code < len(atoms)), code, len(atoms))]
    rows = np.flatnonzero(code >= len(atoms))
    if len(rows):
        row, place = code[rows] - len(atoms), chance[rows] * CELLS
        cell = np.minimum(place.astype(np.int64), CELLS - 1)
        low, high = quantiles[row, cell], quantiles[row, cell + 1]
        share = place - cell
        steep = (low > 0) & (high > 2 * low)  # long tails: equal steps of the logarithm
        ratio = np.where(steep, high, 1.0) / np.where(steep, low, 1.0)
        drawn = np.where(steep, low * ratio**share, low + share * (high - low))
        found[rows] = np.round(drawn, decimals) if decimals >= 0 else drawn
    return np.asarray(found)


def _parts(values: F64, user: I64, k: int) -> list[slice]:
    """Where sorted values are cut into classes of about equal counts: each of at least k users, none in two of them."""
    if len(np.unique(user)) < k:
        return []
    wanted = int(np.clip(len(values) // LEAST_ROWS, 1, MOST_CLASSES))
    cuts = np.unique(np.searchsorted(values, values[np.arange(1, wanted) * len(values) // wanted])).tolist()
    found, first = list[slice](), 0
    for cut in cuts:
        if len(np.unique(user[first:cut])) >= k and len(np.unique(user[cut:])) >= k:
            found.append(slice(first, cut))
            first = cut
    return [*found, slice(first, len(values))]


def _decimals(values: F64) -> int:
    """How many decimals nearly all values have; -1: more than a few."""
    scale = np.maximum(np.abs(values), 1.0) * 1e-9
    for decimals in range(MOST_DECIMALS + 1):
        if len(values) and (np.abs(np.round(values, decimals) - values) <= scale).mean() >= _ALL:
            return decimals
    return -1
