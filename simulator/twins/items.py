"""Which item, among those that the session has not had: a low-rank network over the catalogue.

The history and the last items are brought to a few dozen numbers; the item is found by its own vector of as many
numbers, first its class, then the item within the class. Being low-rank, it generalises from item to item instead of
copying pairs. Items of the session come back by another way (see `sequence`: modes), so they are masked here.
Weighed against tables of item-to-item counts: with a threshold of k users a sparse catalogue leaves them almost empty.
How it is learnt: see `item_learning`; how it is played: `item_player`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.twins.descent import F32
from simulator.twins.fixed_point import RULED_OUT
from simulator.twins.history import I32
from simulator.twins.log import I64

Floats = npt.NDArray[np.floating]
BAG = 8
#: Of the numbers that a history is brought to, so many are rectified; the others are linear.
RECTIFIED = 48


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


def add_items(found: Floats, arrays: Mapping[str, Floats], rows: ItemRows, token: I32) -> None:
    """Add to the numbers of histories, [n, H], what the items before say, by arrays of doubles or floats."""
    last, bag = tokens_of(rows.last[:, :2], token), tokens_of(rows.recent[:, :BAG], token)
    found += arrays["into_bias"]
    found += arrays["last"].take(last[:, 0], axis=0)
    found += arrays["before"].take(last[:, 1], axis=0)
    for place in range(BAG):
        found += arrays["bag"].take(bag[:, place], axis=0)


def rectified(raw: Floats) -> Floats:
    """The numbers of histories, the last ones without what is negative."""
    half = raw.shape[1] - RECTIFIED
    return np.concatenate([raw[:, :half], np.maximum(raw[:, half:], 0)], axis=1)


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

    def mask(self, logits: npt.NDArray[np.floating], number: int, recent: I32) -> None:
        """Rule out, in the logits of one class [n, members], items of the session; never pools."""
        row, place = np.nonzero((recent >= 0) & (recent < self.alone))
        item = recent[row, place]
        here = self.leaf[item] == number
        logits[row[here], self.rank[item[here]]] = RULED_OUT
