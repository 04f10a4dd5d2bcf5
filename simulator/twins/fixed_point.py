"""Plays networks so that a session has the same bits whatever is drawn with it, on any machine.

Floating-point matrix products do not have that: their order of adding depends on shapes and processors. So what is
multiplied is rounded to a grid, fine enough to tell nothing apart that matters and so coarse that all products and
sums are whole multiples of one unit, below 2^24 of them: then they are exact in single precision, in any order. A
matrix with weights too large for that is multiplied in doubles. Weighed against products without BLAS (ten times as
slow) and against doubles throughout (half as fast). Everything else is element by element. Knows no history.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from simulator.twins.descent import F32
from simulator.twins.log import I64
from simulator.twins.network import Network

Floats = npt.NDArray[np.floating]
#: Inputs of networks, and what their hidden units give: multiples of 2^-BITS, at most LIMIT in size.
INPUT_BITS, INPUT_LIMIT = 7, 8.0
HIDDEN_BITS, HIDDEN_LIMIT = 6, 16.0
#: Weights have at least so many binary places.
_LEAST_BITS, _MOST_BITS = 7, 14
#: Exponentials are looked up, at multiples of 1/_FINE down to exp(-_DEPTH), which is nothing.
_FINE, _DEPTH = 1024, 16
#: What rules a class out: its weight is zero.
RULED_OUT = -1e5


def rounded(values: Floats, bits: int, limit: float) -> F32:
    """Values cut to ±limit and rounded to multiples of 2^-bits, in place."""
    np.clip(values, -limit, limit, out=values)
    values *= 2.0**bits
    np.rint(values, out=values)
    values *= 2.0**-bits
    return values.astype(np.float32, copy=False)


class Matrix:
    """A matrix [D, K] by which rows of numbers on a grid are multiplied, exactly."""

    def __init__(self, values: Floats, bits: int, limit: float) -> None:
        exact = np.asarray(values, dtype=np.float64)
        for places in range(_MOST_BITS, _LEAST_BITS - 1, -1):
            found = np.rint(exact * 2.0**places) * 2.0**-places
            if limit * np.abs(found).sum(axis=0).max(initial=0.0) * 2.0 ** (bits + places) < 2.0**24:
                self.values: Floats = found.astype(np.float32)
                return
        self.values = np.rint(np.clip(exact, -(2.0**16), 2.0**16) * 2.0**_MOST_BITS) * 2.0**-_MOST_BITS

    def times(self, rows: Floats) -> Floats:
        """[n, K] for rows [n, D] on the grid."""
        return rows.astype(self.values.dtype, copy=False) @ self.values


_TABLE: list[F32] = []


def weights_of(logits: Floats) -> F32:
    """exp(logits - max) by table, [n, K] of single precision; changes the logits. Below exp(-16) there is nothing."""
    if not _TABLE:
        table = np.array([math.exp(-i / _FINE) for i in range(_DEPTH * _FINE + 1)], dtype=np.float32)
        table[-1] = 0.0
        _TABLE.append(table)
    logits -= logits.max(axis=1, keepdims=True)
    logits *= -_FINE
    return _TABLE[0].take(logits.astype(np.int32), mode="clip")


def draw(weights: Floats, numbers: F64) -> I64:
    """One class for each row, with probability as its weight; `numbers` in [0, 1)."""
    rising = np.cumsum(weights, axis=1)
    total = rising[:, -1]
    wanted = np.minimum((numbers * total).astype(total.dtype), np.nextafter(total, total.dtype.type(0)))
    chosen = np.count_nonzero(rising <= wanted[:, None], axis=1)
    return np.asarray(np.minimum(chosen, weights.shape[1] - 1), dtype=np.int64)


class Player:
    """A network ready to be played."""

    def __init__(self, network: Network) -> None:
        self._first = Matrix(np.concatenate([network.into, network.wide], axis=1), INPUT_BITS, INPUT_LIMIT)
        self._out = Matrix(network.out, HIDDEN_BITS, HIDDEN_LIMIT)
        self._code = np.concatenate([network.code_into, network.code_wide], axis=1)
        self._bias = np.concatenate([network.into_bias, network.bias])
        self._hidden = len(network.into_bias)

    def logits(self, inputs: F32, code: I64) -> Floats:
        """[n, K] for inputs on the grid [n, D] and codes [n, m]."""
        found = self._first.times(inputs)
        found += self._bias
        for column in code.T:
            found += self._code.take(column, axis=0)
        hidden = rounded(np.maximum(found[:, : self._hidden], 0.0), HIDDEN_BITS, HIDDEN_LIMIT)
        logits = self._out.times(hidden)
        logits += found[:, self._hidden :]
        return logits
