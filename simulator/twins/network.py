"""Small softmax networks: what comes next, given numbers about the history.

A wide part (straight from inputs to classes) and one hidden layer. How it is learnt: see `descent`; how it is played:
`fixed_point`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from personas.randomness import F64, fold, standard_normal
from simulator.twins.descent import F32, Bools, Course, Learning, descend, shuffled
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


#: Rows on which the shares of classes are set right, and the straight parts settled: in so many steps, drawn back to
#: where they begin by so much, against all rows together (few rows are wrong about much).
CALIBRATED, SETTLING, DRAWN_BACK = 100_000, 10, 10.0
#: What that may cost checked users, as a share: twins whose counts are right are worth a little.
SPARED = 0.002
#: Up to so many rows, two networks from other beginnings are averaged: what one makes of chance is half as much then.
AVERAGED = 150_000


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
    told: Sequence[tuple[Known, Learning]], target: I64, classes: int, check: Bools, key: np.uint64
) -> tuple[Network, dict[str, Any]]:
    """Fit a network to `target` [n]; rows of `check` only decide when to stop.

    One network is learnt from each of what is known, and the way to learn that goes with it, and their logits are
    averaged and settled, unless that is much worse by the checked rows; the last is told most, and is what the network
    is to be told. A single one on few rows is learnt twice. Returns the network, and figures: its loss by the checked
    rows, that of constant shares, and that of the first network, in nats."""
    train, held = np.flatnonzero(~check), np.flatnonzero(check)
    shares = np.bincount(target[train], minlength=classes) + 0.5
    bias, known = np.log(shares / shares.sum()).astype(np.float32), told[-1][0]
    if classes < 2 or not len(train) or not len(held):
        network = start(known.inputs.shape[1], known.codes, told[0][1].hidden, classes, key)
        return replace(network, bias=bias), {"start": 0.0, "loss": 0.0, "passes": 0}
    each = [*told, *told] if len(told) == 1 and len(train) <= AVERAGED else told
    keys = [key, *fold(key, np.arange(2, len(each) + 1))]
    learnt = [
        _learnt(known, target, bias, train, held, by, learning)
        for (known, learning), by in zip(each, keys, strict=True)
    ]
    network, course = _averaged([network for network, _ in learnt]), learnt[0][1]
    some = train[shuffled(len(train), key, 0)[:CALIBRATED]]
    settled = _settled(network, known.part(some), target[some])

    def checked(found: Network) -> float:
        return loss_of(found, known.part(held), target[held])

    plain = min([network, learnt[0][0]], key=checked)
    network = settled if checked(settled) < (1 + SPARED) * checked(plain) else plain
    _calibrate(network, known.part(some), np.bincount(target[some], minlength=classes))
    return network, {**asdict(course), "loss": checked(network), "first": course.loss}


def _learnt(
    known: Known, target: I64, bias: F32, train: I64, held: I64, key: np.uint64, learning: Learning
) -> tuple[Network, Course]:
    network = start(known.inputs.shape[1], known.codes, learning.hidden, len(bias), key)
    network.bias[:] = bias
    course = descend(
        [getattr(network, name) for name in LEARNT],
        len(train),
        lambda rows: _gradients(network, known.part(train[rows]), target[train[rows]]),
        lambda: loss_of(network, known.part(held), target[held]),
        key,
        learning,
    )
    return network, course


def _averaged(networks: list[Network]) -> Network:
    """One network with the mean logits of several: their hidden units side by side."""
    each: dict[str, list[F32]] = {name: [getattr(network, name) for network in networks] for name in LEARNT}
    share = np.float32(1 / len(networks))
    found: dict[str, F32] = {name: np.sum(each[name], axis=0) * share for name in ("wide", "code_wide", "bias")}
    found |= {name: np.concatenate(each[name], axis=-1) for name in ("into", "code_into", "into_bias")}
    return Network(**found, out=np.concatenate(each["out"]) * share)


def _settled(network: Network, known: Known, target: I64) -> Network:
    """The straight parts at rest, given the hidden ones: for each input, what is expected of the rows that have it is
    then what they show. Steps through batches end near that, not at it, and what is a little off adds up over
    generations of twins. L-BFGS-B (Byrd, Lu, Nocedal, Zhu 1995), drawn to where it begins."""
    from scipy.optimize import minimize

    inputs, ones = known.inputs, _places(known.code, known.codes)
    fixed, count = _in_pieces(network, known), len(target)
    shape = (inputs.shape[1] + known.codes + 1, network.classes)
    drawn = np.full(shape, DRAWN_BACK / count)
    drawn[-1] = 0.0

    def loss(found: F64) -> tuple[float, F64]:
        change = found.reshape(shape)
        weights = change.astype(np.float32)
        logits = fixed + inputs @ weights[: inputs.shape[1]] + ones @ weights[inputs.shape[1] : -1] + weights[-1]
        value, delta = softmax_loss(logits, target)
        delta /= count
        slope = np.concatenate([inputs.T @ delta, ones.T @ delta, delta.sum(axis=0, keepdims=True)]).astype(np.float64)
        return value + 0.5 * float((drawn * change**2).sum()), (slope + drawn * change).ravel()

    found = minimize(loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": SETTLING})
    wide, code, bias = np.split(found.x.reshape(shape).astype(np.float32), [inputs.shape[1], shape[0] - 1])
    return replace(network, wide=network.wide + wide, code_wide=network.code_wide + code, bias=network.bias + bias[0])


def _calibrate(network: Network, known: Known, count: I64) -> None:
    """Set the bias so that each class is as probable, over all of these rows, as it is frequent among them: what is
    stopped early is not quite at the optimum, where that holds, and mistakes add up over a session."""
    for _ in range(3):
        expected = np.zeros(len(count))
        logits = _in_pieces(network, known)
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
    found: F32 = _places(index, size).T @ values
    return found


def _places(index: I64, size: int) -> Any:
    """Codes [n, m] as a sparse matrix [n, size] of ones."""
    from scipy.sparse import csr_array

    count, width = index.shape
    ones = np.ones(index.size, dtype=np.float32)
    return csr_array((ones, index.ravel(), np.arange(0, index.size + 1, width)), shape=(count, size))


def _in_pieces(network: Network, known: Known) -> F32:
    """The logits of all rows [n, K], without a hidden part for all of them at once."""
    rows = np.arange(len(known.inputs))
    return np.concatenate(
        [_forward(network, known.part(rows[first : first + 8192]))[1] for first in range(0, len(rows), 8192)]
    )


def loss_of(network: Network, known: Known, target: I64) -> float:
    """Mean negative log-likelihood in nats."""
    total = 0.0
    for first in range(0, len(target), 8192):
        rows = np.arange(first, min(first + 8192, len(target)))
        total += softmax_loss(_forward(network, known.part(rows))[1], target[rows])[0] * len(rows)
    return total / max(len(target), 1)
