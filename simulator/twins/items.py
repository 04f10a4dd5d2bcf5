"""Which item, among those that the session has not had: a low-rank network over the catalogue.

The history and the last items are brought to a few dozen numbers; the item is found by its own vector of as many
numbers, first its class, then the item within the class. Being low-rank, it generalises from item to item instead of
copying pairs. Items of the session come back by another way (see `sequence`: modes), so they are masked here.
Weighed against tables of item-to-item counts: with a threshold of k users a sparse catalogue leaves them almost empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import F64, fold, standard_normal
from simulator.twins.catalogue import Catalogue
from simulator.twins.fixed_point import RULED_OUT
from simulator.twins.history import I32
from simulator.twins.log import I64
from simulator.twins.network import F32, Bools, Learning, descend, scattered

Floats = npt.NDArray[np.floating]
BAG = 8
#: Of the numbers that a history is brought to, so many are rectified; the others are linear.
RECTIFIED = 48
SHRUNK = 2.0


@dataclass(frozen=True)
class ItemNetwork:
    """D inputs, H numbers (the last RECTIFIED of them rectified), C classes, I items and one for all nameless ones.

    into [D, H], into_bias [H]; last, before [I+2, H]: what the last item and the one before add (the last row: none);
    bag [I+2, H]: what each of the recent items adds. class_out [H, C], class_bias [C]; item_out [I+1, H], item_bias
    [I+1]. allowed [E, I+1]: added to an item given the event: log of how much more often, -inf for never.
    class_allowed [E, C]: the same for classes. leaf [I+1]: class of each item.
    "Items" here are the tokens of the catalogue; token, pool_first, pool_items: see `Catalogue`.
    """

    into: F32
    into_bias: F32
    last: F32
    before: F32
    bag: F32
    class_out: F32
    class_bias: F32
    item_out: F32
    item_bias: F32
    allowed: F32
    class_allowed: F32
    leaf: I32
    token: I32
    pool_first: I64
    pool_items: I64


@dataclass(frozen=True)
class ItemRows:
    """What is known when an item is chosen. inputs [n, D]; event [n]; last [n, 3] and recent [n, R]: item codes."""

    inputs: Floats
    event: I64
    last: I32
    recent: I32

    def part(self, rows: npt.NDArray[np.generic]) -> ItemRows:
        """Some of the rows."""
        return ItemRows(self.inputs[rows], self.event[rows], self.last[rows], self.recent[rows])


def tokens_of(codes: npt.NDArray[np.integer], token: npt.NDArray[np.integer]) -> I64:
    """Codes of items as tokens; NONE is one after the last."""
    known = token[np.minimum(codes, len(token) - 1)]
    return np.asarray(np.where(codes < 0, token[-1] + 1, known), dtype=np.int64)


class Hidden:
    """The numbers that a history is brought to, by embeddings of doubles (to play) or floats (to learn)."""

    @staticmethod
    def of(arrays: Mapping[str, Floats], rows: ItemRows, token: I32) -> Floats:
        """[n, H] before the rectifier."""
        found: Floats = rows.inputs @ arrays["into"]
        Hidden.add_items(found, arrays, rows, token)
        return found

    @staticmethod
    def add_items(found: Floats, arrays: Mapping[str, Floats], rows: ItemRows, token: I32) -> None:
        """Add what the items before say to what the inputs do."""
        last, bag = tokens_of(rows.last[:, :2], token), tokens_of(rows.recent[:, :BAG], token)
        found += arrays["into_bias"]
        found += arrays["last"].take(last[:, 0], axis=0)
        found += arrays["before"].take(last[:, 1], axis=0)
        for place in range(BAG):
            found += arrays["bag"].take(bag[:, place], axis=0)

    @staticmethod
    def rectified(raw: Floats) -> Floats:
        """The last ones without what is negative."""
        half = raw.shape[1] - RECTIFIED
        return np.concatenate([raw[:, :half], np.maximum(raw[:, half:], 0)], axis=1)


def begin(catalogue: Catalogue, inputs: int, event: I64, item: I64, events: int, key: np.uint64) -> ItemNetwork:
    """A network before learning: the catalogue's vectors, popularity, and which items go with which events."""
    rare, dimensions = len(catalogue.leaf) - 1, catalogue.vector.shape[1]
    hidden = dimensions + RECTIFIED
    counts = np.zeros((events, rare + 1))
    np.add.at(counts, (event, catalogue.token[np.minimum(item, len(catalogue.token) - 1)]), 1.0)
    classes = np.zeros((events, catalogue.leaves))
    np.add.at(classes.T, catalogue.leaf, counts.T)
    noise = standard_normal(fold(key, np.arange(inputs * hidden))).reshape(inputs, hidden)
    embedding = np.zeros((rare + 2, hidden))
    embedding[:-1, :dimensions] = catalogue.vector
    shared = min(dimensions, RECTIFIED)
    embedding[:-1, dimensions : dimensions + shared] = catalogue.vector[:, :shared]
    item_out = standard_normal(fold(fold(key, 2), np.arange((rare + 1) * hidden))).reshape(rare + 1, hidden) * 0.02
    item_out[:, :dimensions] += 0.5 * catalogue.vector
    class_out = np.zeros((hidden, catalogue.leaves))
    sizes = np.bincount(catalogue.leaf, minlength=catalogue.leaves)
    np.add.at(class_out.T, catalogue.leaf, item_out / sizes[catalogue.leaf][:, None])
    popularity: F64 = counts.sum(axis=0)
    by_class = np.bincount(catalogue.leaf, popularity) + 0.1
    usual = (by_class / sizes)[catalogue.leaf]
    popularity = popularity + SHRUNK * usual / (1.0 + usual)
    by_class = np.bincount(catalogue.leaf, popularity).astype(np.float64)
    values = {
        "into": noise * math.sqrt(0.5 / max(inputs, 1)), "into_bias": np.zeros(hidden), "last": embedding * 0.7,
        "before": embedding * 0.2, "bag": embedding * 0.05, "class_out": class_out, "class_bias": np.log(by_class),
        "item_out": item_out, "item_bias": np.log(popularity / by_class[catalogue.leaf]),
        "allowed": _affinity(counts), "class_allowed": _affinity(classes),
    }  # fmt: skip
    arrays = {name: value.astype(np.float32) for name, value in values.items()}
    return ItemNetwork(
        **arrays, leaf=catalogue.leaf.astype(np.int32), token=catalogue.token.astype(np.int32),
        pool_first=catalogue.pool_first, pool_items=catalogue.pool_items,
    )  # fmt: skip


def _affinity(counts: F64) -> F64:
    """log(count / expected), shrunk; far down where a pair never was though it should have been."""
    total = max(counts.sum(), 1.0)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / total
    prior = 2.0 * expected / (expected + 2.0) + 1e-9
    found = np.log((counts + prior) / (expected + prior))
    return np.where((counts == 0) & (expected > 3.0), -16.0, np.clip(found, -8.0, 8.0))


LEARNT = ("into", "into_bias", "last", "before", "bag", "class_out", "class_bias", "item_out", "item_bias")


class Classes:
    """Where the members of each class are."""

    def __init__(self, network: ItemNetwork) -> None:
        leaf = network.leaf
        self.token, self.alone = network.token, len(leaf) - len(network.pool_first)
        self.order = np.argsort(leaf, kind="stable")
        self.first = np.concatenate([[0], np.cumsum(np.bincount(leaf))])
        self.rank = np.empty(len(leaf), dtype=np.int64)
        self.rank[self.order] = np.arange(len(leaf))
        self.rank -= self.first[leaf]
        self.leaf = leaf

    def members(self, number: int) -> I64:
        """The items of a class."""
        return self.order[self.first[number] : self.first[number + 1]]

    def runs(self, chosen: I64) -> list[tuple[int, I64]]:
        """Class by class, the rows that have chosen it."""
        order = np.argsort(chosen, kind="stable")
        classes, first = np.unique(chosen[order], return_index=True)
        return list(zip(classes.tolist(), np.split(order, first[1:]), strict=True))

    def mask(self, logits: npt.NDArray[np.floating], number: int, recent: I32, spare: I64 | None = None) -> None:
        """Rule out, in the logits of one class [n, members], items of the session; never pools, nor `spare`."""
        row, place = np.nonzero((recent >= 0) & (recent < self.alone))
        item = recent[row, place]
        here = self.leaf[item] == number
        if spare is not None:
            here &= spare[row] != item
        logits[row[here], self.rank[item[here]]] = RULED_OUT


def learn_items(
    network: ItemNetwork, rows: ItemRows, item: I64, check: Bools, key: np.uint64, learning: Learning
) -> tuple[ItemNetwork, dict[str, Any]]:
    """Fit to the items [n] that were chosen. Returns the best by the likelihood of the checked rows, and figures."""
    arrays = {name: getattr(network, name).copy() for name in LEARNT}
    classes, target = Classes(network), tokens_of(item, network.token)
    train, held = np.flatnonzero(~check), np.flatnonzero(check)
    if len(train) < 2 or len(held) < 1:
        return network, {"loss": 0.0, "passes": 0}

    def gradients(part: I64) -> list[F32]:
        rows_of = train[part]
        found = _pass(network, arrays, classes, rows.part(rows_of), target[rows_of], back=True)[1]
        return [found[name] for name in LEARNT]

    course = descend(
        [arrays[name] for name in LEARNT],
        len(train),
        gradients,
        lambda: _loss(network, arrays, classes, rows.part(held), target[held]),
        key,
        replace(learning, decay=learning.decay * 10),
    )
    return replace(network, **arrays), asdict(course)


def _loss(network: ItemNetwork, arrays: dict[str, F32], classes: Classes, rows: ItemRows, target: I64) -> float:
    total = 0.0
    for first in range(0, len(target), 4096):
        part = np.arange(first, min(first + 4096, len(target)))
        total += _pass(network, arrays, classes, rows.part(part), target[part], back=False)[0] * len(part)
    return total / len(target)


def _pass(
    network: ItemNetwork, arrays: dict[str, F32], classes: Classes, rows: ItemRows, target: I64, *, back: bool
) -> tuple[float, dict[str, F32]]:
    """Mean loss, and the gradients of all arrays."""
    size, count = len(network.leaf) + 1, len(target)
    hidden = Hidden.rectified(Hidden.of(arrays, rows, network.token)).astype(np.float32)
    gradient = {name: np.zeros_like(array) for name, array in arrays.items()} if back else {}
    leaf = network.leaf[target].astype(np.int64)
    down = np.zeros_like(hidden)
    loss = 0.0
    if arrays["class_out"].shape[1] > 1:
        logits = hidden @ arrays["class_out"] + arrays["class_bias"] + network.class_allowed[rows.event]
        loss += _softmax(logits, leaf)
        if back:
            logits /= count
            gradient["class_out"], gradient["class_bias"] = hidden.T @ logits, logits.sum(axis=0)
            down += logits @ arrays["class_out"].T
    for number, mine in classes.runs(leaf):
        members, here = classes.members(number), hidden[mine]
        logits = here @ arrays["item_out"][members].T + arrays["item_bias"][members]
        logits += network.allowed[rows.event[mine]][:, members]
        classes.mask(logits, number, rows.recent[mine], target[mine])
        loss += _softmax(logits, classes.rank[target[mine]]) * len(mine) / count
        if back:
            logits /= count
            gradient["item_out"][members] = logits.T @ here
            gradient["item_bias"][members] = logits.sum(axis=0)
            down[mine] += logits @ arrays["item_out"][members]
    if not back:
        return loss, {}
    half = hidden.shape[1] - RECTIFIED
    down[:, half:] *= hidden[:, half:] > 0
    last, bag = tokens_of(rows.last, network.token), tokens_of(rows.recent[:, :BAG], network.token)
    gradient["into"] = (rows.inputs.T @ down).astype(np.float32)
    gradient["into_bias"] = down.sum(axis=0)
    gradient["last"] = scattered(last[:, :1], down, size)
    gradient["before"] = scattered(last[:, 1:2], down, size)
    gradient["bag"] = scattered(bag, down, size)
    return loss, gradient


def _softmax(logits: F32, target: I64) -> float:
    """Mean loss; the logits become probability minus target."""
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    at = np.arange(len(target))
    loss = -float(np.log(np.maximum(logits[at, target], 1e-30)).mean())
    logits[at, target] -= 1.0
    return loss
