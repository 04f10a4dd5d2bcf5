"""How arrays are learnt: with Adam (Kingma, Ba 2015, ICLR) until the likelihood of *other users'* sessions no longer
rises. That is what keeps a network from remembering single sessions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personas.randomness import fold
from simulator.twins.log import I64

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
#: So many numbers at a time stay in a processor's cache while several operations pass over them.
PIECE = 1 << 15


@dataclass(frozen=True)
class Learning:
    """How networks are learnt. passes: how often, at most, the examples are gone through; examples: the most that are
    gone through in all; patience: passes without a better likelihood before it stops."""

    hidden: int = 64
    passes: int = 60
    examples: int = 4_000_000
    batch: int = 1024
    rate: float = 4e-3
    patience: int = 2
    decay: float = 1e-5


class Adam:
    """Adam with decoupled weight decay, over contiguous arrays that are changed in place, and their running means.

    `rates`: of each array. `mean`: of each array, over about 1 / `weight` steps."""

    def __init__(self, arrays: list[F32], rates: Sequence[float], decay: float, weight: float) -> None:
        self._arrays, self._rates, self._decay, self._weight = arrays, rates, decay, weight
        self._slope = [np.zeros_like(array) for array in arrays]
        self._square = [np.zeros_like(array) for array in arrays]
        self.mean = [array.copy() for array in arrays]
        self._steps = 0

    def step(self, gradients: list[F32], factor: float) -> None:
        """One step; `factor` scales the rate."""
        self._steps += 1
        warm = factor * math.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
        of_all = zip(self._rates, self._arrays, gradients, self._slope, self._square, self.mean, strict=True)
        for rate, array, *others in of_all:
            kept = 1.0 - self._decay * factor if array.ndim > 1 else 1.0
            flat = [part.reshape(-1) for part in (array, *others)]
            for first in range(0, array.size, PIECE):
                self._piece([part[first : first + PIECE] for part in flat], rate * warm, kept)

    def _piece(self, parts: list[F32], rate: float, kept: float) -> None:
        array, gradient, slope, square, mean = parts
        scratch = gradient - slope
        scratch *= 0.1
        slope += scratch
        np.multiply(gradient, gradient, out=scratch)
        scratch -= square
        scratch *= 0.001
        square += scratch
        np.sqrt(square, out=scratch)
        scratch += 1e-8
        np.divide(slope, scratch, out=scratch)
        scratch *= rate
        array -= scratch
        array *= kept
        np.subtract(array, mean, out=scratch)
        scratch *= self._weight
        mean += scratch


def shuffled(count: int, key: np.uint64, epoch: int) -> I64:
    """A permutation of 0..count-1, by key and pass."""
    return np.argsort(fold(fold(key, 1_000_003 + epoch), np.arange(count)), kind="stable")


@dataclass(frozen=True)
class Course:
    """What went on while arrays were learnt: the best loss of the checked rows, the loss before, and after how many
    passes it was met."""

    start: float
    loss: float
    passes: int


def descend(
    arrays: list[F32],
    count: int,
    gradients: Callable[[I64], list[F32]],
    loss: Callable[[], float],
    key: np.uint64,
    learning: Learning,
    shares: Sequence[float] | None = None,
) -> Course:
    """Change `arrays` in place until `loss` no longer falls; they end as the best that was met. `shares`: of the rate,
    for each array (1).

    `gradients` of rows (places 0..count-1) are followed by Adam at one rate; what is checked is the running mean of the
    arrays over about one pass (Polyak, Juditsky 1992), since single steps are noisy."""
    batch = int(np.clip(2 ** (count // 150).bit_length() // 2, 64, learning.batch))
    steps = -(-count // batch)
    passes = max(min(learning.passes, learning.examples // max(count, 1)), 2)
    rates = [learning.rate * share for share in shares or [1.0] * len(arrays)]
    optimizer = Adam(arrays, rates, learning.decay, 1.0 / max(min(steps, 500), 2))

    def run(epoch: int, factor: Callable[[float], float]) -> None:
        order = shuffled(count, key, epoch)
        for number in range(steps):
            optimizer.step(gradients(order[number * batch : (number + 1) * batch]), factor(number / steps))

    def checked() -> float:
        raw = [array.copy() for array in arrays]
        _put(arrays, optimizer.mean)
        found = loss()
        _put(arrays, raw)
        return found

    before = best = loss()
    kept, done, waited = [array.copy() for array in arrays], 0, 0
    for epoch in range(passes):
        run(epoch, (lambda share: max(share, 0.05)) if not epoch else (lambda share: 1.0))
        found = checked()
        if found < best - 1e-5:
            best, kept, done, waited = found, [average.copy() for average in optimizer.mean], epoch + 1, 0
        else:
            waited += 1
        if waited > learning.patience:
            break
    _put(arrays, kept)
    return Course(before, best, done)


def _put(arrays: list[F32], values: list[F32]) -> None:
    for array, value in zip(arrays, values, strict=True):
        array[...] = value
