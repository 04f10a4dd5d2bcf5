"""Small softmax networks: what comes next, given numbers about the history.

A wide part (straight from inputs to classes) and one hidden layer. Learnt with Adam (Kingma, Ba 2015, ICLR) until the
likelihood of *other users'* sessions no longer rises: that is what keeps a network from remembering single sessions.
How it is played: see `fixed_point`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import fold, standard_normal
from simulator.twins.log import I64

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Network:
    """wide [D, K], into [D, H], into_bias [H], out [H, K], bias [K]: D inputs, H hidden units, K classes. Besides,
    some of M codes: code_wide [M, K], code_into [M, H] are added (as M inputs that are 0 or 1 would, but faster)."""

    wide: F32
    into: F32
    code_wide: F32
    code_into: F32
    into_bias: F32
    out: F32
    bias: F32

    @property
    def classes(self) -> int:
        """How many outcomes there are."""
        return len(self.bias)


#: Rows on which the shares of classes are set right.
CALIBRATED = 100_000


@dataclass(frozen=True)
class Learning:
    """How networks are learnt. passes: how often, at most, the examples are gone through; examples: the most that are
    gone through in all; patience: passes without a better likelihood before it stops."""

    hidden: int = 64
    passes: int = 60
    examples: int = 4_000_000
    batch: int = 1024
    rate: float = 2e-3
    patience: int = 2
    decay: float = 1e-5


@dataclass(frozen=True)
class Known:
    """What a network is told: inputs [n, D], and some of `codes` codes [n, m]."""

    inputs: F32
    code: I64
    codes: int

    def part(self, rows: I64) -> Known:
        """Some of the rows."""
        return Known(self.inputs[rows], self.code[rows], self.codes)


def softmax_loss(logits: F32, target: I64) -> tuple[float, F32]:
    """Mean negative log-likelihood, and its gradient by the logits (not divided by n)."""
    logits -= logits.max(axis=1, keepdims=True)
    probability = np.exp(logits)
    total = probability.sum(axis=1, keepdims=True)
    rows = np.arange(len(target))
    loss = float((np.log(total[:, 0]) - logits[rows, target]).mean())
    probability /= total
    probability[rows, target] -= 1.0
    return loss, probability


class Adam:
    """Adam with decoupled weight decay, over a list of arrays that are changed in place."""

    def __init__(self, arrays: list[F32], rate: float, decay: float) -> None:
        self._arrays, self._rate, self._decay = arrays, rate, decay
        self._mean = [np.zeros_like(array) for array in arrays]
        self._square = [np.zeros_like(array) for array in arrays]
        self._steps = 0

    def step(self, gradients: list[F32], factor: float) -> None:
        """One step; `factor` scales the rate."""
        self._steps += 1
        rate = self._rate * factor * math.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
        for place, (array, gradient) in enumerate(zip(self._arrays, gradients, strict=True)):
            mean, square = self._mean[place], self._square[place]
            np.add(mean, 0.1 * (gradient - mean), out=mean)
            np.add(square, 0.001 * (gradient * gradient - square), out=square)
            np.subtract(array, rate * mean / (np.sqrt(square) + 1e-8), out=array)
            if array.ndim > 1:
                np.multiply(array, 1.0 - self._decay * factor, out=array)


def start(inputs: int, codes: int, hidden: int, classes: int, key: np.uint64) -> Network:
    """A network before learning: hidden weights small and random by key, the rest zero."""
    bits = fold(fold(key, inputs * 7919 + classes), np.arange(inputs * hidden))
    into = standard_normal(bits).reshape(inputs, hidden) * math.sqrt(1.5 / max(inputs, 1))
    bits = fold(fold(key, inputs * 104_729 + classes), np.arange(hidden * classes))
    out = standard_normal(bits).reshape(hidden, classes) * 0.02
    return Network(
        wide=np.zeros((inputs, classes), np.float32), into=into.astype(np.float32),
        code_wide=np.zeros((codes, classes), np.float32), code_into=np.zeros((codes, hidden), np.float32),
        into_bias=np.zeros(hidden, np.float32), out=out.astype(np.float32), bias=np.zeros(classes, np.float32),
    )  # fmt: skip


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
) -> Course:
    """Change `arrays` in place until `loss` no longer falls; they end as the best that was met.

    `gradients` of rows (places 0..count-1) are followed by Adam at one rate; what is checked is the running mean of the
    arrays over about one pass (Polyak, Juditsky 1992), since single steps are noisy."""
    batch = int(np.clip(2 ** (count // 150).bit_length() // 2, 64, learning.batch))
    steps = -(-count // batch)
    passes = max(min(learning.passes, learning.examples // max(count, 1)), 2)
    mean = [array.copy() for array in arrays]
    optimizer, weight = Adam(arrays, learning.rate, learning.decay), 1.0 / max(min(steps, 500), 2)

    def run(epoch: int, factor: Callable[[float], float]) -> None:
        order = shuffled(count, key, epoch)
        for number in range(steps):
            optimizer.step(gradients(order[number * batch : (number + 1) * batch]), factor(number / steps))
            for average, array in zip(mean, arrays, strict=True):
                np.add(average, (array - average) * weight, out=average)

    def checked() -> float:
        raw = [array.copy() for array in arrays]
        _put(arrays, mean)
        found = loss()
        _put(arrays, raw)
        return found

    before = best = loss()
    kept, done, waited = [array.copy() for array in arrays], 0, 0
    for epoch in range(passes):
        run(epoch, (lambda share: max(share, 0.05)) if not epoch else (lambda share: 1.0))
        found = checked()
        if found < best - 1e-5:
            best, kept, done, waited = found, [average.copy() for average in mean], epoch + 1, 0
        else:
            waited += 1
        if waited > learning.patience:
            break
    _put(arrays, kept)
    return Course(before, best, done)


def _put(arrays: list[F32], values: list[F32]) -> None:
    for array, value in zip(arrays, values, strict=True):
        array[...] = value


def learn(
    known: Known, target: I64, classes: int, check: Bools, key: np.uint64, learning: Learning
) -> tuple[Network, dict[str, Any]]:
    """Fit a network to `target` [n] given what is known; rows of `check` only decide when to stop.

    Returns the best network by the checked likelihood, and figures: its loss and that of constant shares, in nats."""
    network = start(known.inputs.shape[1], known.codes, learning.hidden, classes, key)
    train, held = np.flatnonzero(~check), np.flatnonzero(check)
    shares = np.bincount(target[train], minlength=classes) + 0.5
    network.bias[:] = np.log(shares / shares.sum())
    if classes < 2 or not len(train) or not len(held):
        return network, {"start": 0.0, "loss": 0.0, "passes": 0}
    arrays = [getattr(network, name) for name in LEARNT]
    course = descend(
        arrays,
        len(train),
        lambda rows: _gradients(network, known.part(train[rows]), target[train[rows]]),
        lambda: loss_of(network, known.part(held), target[held]),
        key,
        learning,
    )
    some = train[shuffled(len(train), key, 0)[:CALIBRATED]]
    _calibrate(network, known.part(some), np.bincount(target[some], minlength=classes))
    return network, asdict(course)


def _calibrate(network: Network, known: Known, count: I64) -> None:
    """Set the bias so that each class is as probable, over all of these rows, as it is frequent among them: what is
    stopped early is not quite at the optimum, where that holds, and mistakes add up over a session."""
    for _ in range(3):
        expected = np.zeros(len(count))
        for first in range(0, len(known.inputs), 8192):
            logits = _forward(network, known.part(np.arange(first, min(first + 8192, len(known.inputs)))))[1]
            np.exp(logits - logits.max(axis=1, keepdims=True), out=logits)
            expected += (logits / logits.sum(axis=1, keepdims=True)).sum(axis=0)
        network.bias[:] += np.log((count + 5.0) / (expected + 5.0))


LEARNT = ("wide", "into", "code_wide", "code_into", "into_bias", "out", "bias")


def _forward(network: Network, known: Known) -> tuple[F32, F32]:
    hidden = known.inputs @ network.into
    hidden += network.into_bias
    for code in known.code.T:
        hidden += network.code_into[code]
    np.maximum(hidden, 0, out=hidden)
    logits = known.inputs @ network.wide
    logits += hidden @ network.out
    logits += network.bias
    for code in known.code.T:
        logits += network.code_wide[code]
    return hidden, logits


def _gradients(network: Network, known: Known, target: I64) -> list[F32]:
    hidden, logits = _forward(network, known)
    _, delta = softmax_loss(logits, target)
    delta /= len(target)
    back = delta @ network.out.T
    back *= hidden > 0
    inputs, code, codes = known.inputs.T, known.code, known.codes
    return [
        inputs @ delta, inputs @ back, scattered(code, delta, codes), scattered(code, back, codes),
        back.sum(axis=0), hidden.T @ delta, delta.sum(axis=0),
    ]  # fmt: skip


def scattered(index: I64, values: F32, size: int) -> F32:
    """[size, H]: the sum of the values [n, H] of each index [n, m]."""
    from scipy.sparse import csr_array

    count, width = index.shape
    ones = np.ones(index.size, dtype=np.float32)
    chosen = csr_array((ones, index.ravel(), np.arange(0, index.size + 1, width)), shape=(count, size))
    found: F32 = chosen.T @ values
    return found


def loss_of(network: Network, known: Known, target: I64) -> float:
    """Mean negative log-likelihood in nats."""
    total = 0.0
    for first in range(0, len(target), 8192):
        rows = np.arange(first, min(first + 8192, len(target)))
        total += softmax_loss(_forward(network, known.part(rows))[1], target[rows])[0] * len(rows)
    return total / max(len(target), 1)
