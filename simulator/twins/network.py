"""Small softmax networks: what comes next, given numbers about the history.

A wide part (straight from inputs to classes) and one hidden layer. How it is learnt: see `descent`; how it is played:
`fixed_point`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from personas.randomness import fold, standard_normal
from simulator.twins.descent import F32, Bools, Learning, descend, shuffled
from simulator.twins.log import I64


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
