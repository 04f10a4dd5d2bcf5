"""Counter-based randomness: every random number is a hash of what it is for, never a generator's next draw.

A *key* is 64 bits; `fold` mixes a counter (user, session, step, purpose) into it, and the result is used as random
bits. So a number depends on nothing but its own counters: not on the batch, the shard or the point of restart. The
mixer is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, OOPSLA; constants of Stafford's variant 13), a
bijection on 64 bits. Everything after it is additions, multiplications and table look-ups in IEEE doubles, element
by element, so results do not depend on where in an array a number stands, or on the processor's vector units.
"""

from __future__ import annotations

import functools
import hashlib
import math
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
F64 = npt.NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 2.0**-53


def root_key(*parts: object) -> np.uint64:
    """The key from which a family of numbers starts: the first 64 bits of a SHA-256 of the parts' text."""
    text = "\x1f".join(str(part) for part in parts)
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def mix(values: U64) -> U64:
    """The SplitMix64 finaliser, element by element; a bijection."""
    mixed = values ^ (values >> _S30)
    mixed *= _M1
    mixed ^= mixed >> _S27
    mixed *= _M2
    mixed ^= mixed >> _S31
    return mixed


def fold(key: U64 | np.uint64, counter: npt.NDArray[Any] | int) -> U64:
    """Mix a counter into a key. Shapes broadcast; the result is both a new key and random bits."""
    step = _step(counter) if isinstance(counter, int) else (counter.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    return mix(key + step if step.ndim else np.atleast_1d(key) + step)


@functools.lru_cache(maxsize=1024)
def _step(counter: int) -> U64:
    """Purposes are few, and asked for all the time."""
    return np.array([((counter + 1) * int(_GOLDEN)) & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)


def uniform(bits: U64) -> F64:
    """Numbers in [0, 1) with 53 bits each."""
    return (bits >> _S11).astype(np.float64) * _TO_UNIT


def pick(cumulative: F64, row: npt.NDArray[Any], numbers: F64) -> npt.NDArray[np.int64]:
    """For each number the column of `cumulative[row]` (rising to 1 along the columns) that it falls into."""
    steps = (cumulative + 2.0 * np.arange(len(cumulative))[:, None]).ravel()
    place = np.searchsorted(steps, numbers + 2.0 * row, side="right") - row * cumulative.shape[1]
    return np.asarray(np.minimum(place, cumulative.shape[1] - 1), dtype=np.int64)


def cumulative_shares(weights: F64) -> F64:
    """Rows of non-negative weights as rows that rise to exactly 1."""
    sums = np.cumsum(weights, axis=-1)
    shares: F64 = sums / sums[..., -1:]
    shares[..., -1] = 1.0
    return shares


def interpolate(table: F64, numbers: F64) -> F64:
    """Quantile look-up: `table` holds values at equally spaced probabilities from 0 to 1; linear in between."""
    place = numbers * (table.shape[-1] - 1)
    cell = np.minimum(place.astype(np.int64), table.shape[-1] - 2)
    low = table[cell]
    result: F64 = low + (place - cell) * (table[cell + 1] - low)
    return result


_NORMAL_CELLS = 8192
_CDF_LIMIT = 6.0


def _normal_quantiles() -> F64:
    normal = NormalDist()
    inner = [normal.inv_cdf(k / _NORMAL_CELLS) for k in range(1, _NORMAL_CELLS)]
    edge = normal.inv_cdf(0.25 / _NORMAL_CELLS)
    return np.array([edge, *inner, -edge])


_TABLES: dict[str, F64] = {}


def _table(name: str) -> F64:
    if name not in _TABLES:
        if name == "normal":
            _TABLES[name] = _normal_quantiles()
        elif name == "normal_cdf":
            grid = np.linspace(-_CDF_LIMIT, _CDF_LIMIT, _NORMAL_CELLS + 1)
            _TABLES[name] = np.array([0.5 * math.erfc(-z / math.sqrt(2.0)) for z in grid.tolist()])
        else:
            _TABLES[name] = np.array([-math.log1p(-k / 4096) for k in range(4096)])
    return _TABLES[name]


def standard_normal(bits: U64) -> F64:
    """Standard normal numbers by table (8,192 cells), cut at about 4 standard deviations."""
    return interpolate(_table("normal"), uniform(bits))


def normal_cdf(values: F64) -> F64:
    """The standard normal distribution function by table, to about 1e-6."""
    return interpolate(_table("normal_cdf"), np.clip(values / (2 * _CDF_LIMIT) + 0.5, 0.0, 1.0))


def exponential(bits: U64) -> F64:
    """Exponential numbers with mean 1 by table. The last of 4,096 cells, where the logarithm runs away, uses that an
    exponential has no memory: it starts again from the cell's edge with the bits that are left (up to about 16)."""
    table = _table("exponential")
    cell = (bits >> np.uint64(52)).astype(np.int64)
    rest = ((bits >> np.uint64(12)) & np.uint64((1 << 40) - 1)).astype(np.float64) * 2.0**-40
    tail = cell == 4095
    low = np.where(tail, 0.0, table[cell])
    high = table[np.minimum(cell + 1, 4095)]
    plain = low + rest * (high - low)
    again = rest * 4095
    again_cell = np.minimum(again.astype(np.int64), 4094)
    second = table[again_cell] + (again - again_cell) * (table[again_cell + 1] - table[again_cell])
    result: F64 = np.where(tail, table[4095] + second, plain)
    return result
