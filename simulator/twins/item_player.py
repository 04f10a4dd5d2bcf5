"""Draws items from an item network, in fixed point: the same item whatever else is drawn with it."""

from __future__ import annotations

import numpy as np

from personas.randomness import F64, U64, fold, uniform
from simulator.twins.descent import F32
from simulator.twins.fixed_point import (
    HIDDEN_BITS,
    HIDDEN_LIMIT,
    INPUT_BITS,
    INPUT_LIMIT,
    RULED_OUT,
    Matrix,
    draw,
    rounded,
    weights_of,
)  # fmt: skip
from simulator.twins.items import Classes, ItemNetwork, ItemRows, add_items, rectified
from simulator.twins.log import I64

_CLASS, _WITHIN, _RARE = 1, 2, 3
_USED = ("into_bias", "last", "before", "bag", "class_bias", "item_out", "item_bias")


class ItemPlayer:
    """An item network ready to be played. `rare_items`: how many fictional names the rare items have."""

    def __init__(self, network: ItemNetwork, rare_items: int) -> None:
        self._arrays = {name: getattr(network, name) for name in _USED}
        self._allowed, self._class_allowed = network.allowed.copy(), network.class_allowed.copy()
        if not rare_items:  # further down than what the session has had
            self._allowed[:, -1] = 10 * RULED_OUT
            if (network.leaf == network.leaf[-1]).sum() == 1:
                self._class_allowed[:, network.leaf[-1]] = 10 * RULED_OUT
        self._into = Matrix(network.into, INPUT_BITS, INPUT_LIMIT)
        self._class_out = Matrix(network.class_out, HIDDEN_BITS, HIDDEN_LIMIT)
        self._by_class: dict[int, tuple[I64, Matrix, F32]] = {}
        self._classes, self._network, self._rare_items = Classes(network), network, rare_items

    def draw(self, rows: ItemRows, bits: U64) -> I64:
        """[n] an item for each row that it has not had in its session, where there is one."""
        raw = self._into.times(rows.inputs)
        add_items(raw, self._arrays, rows, self._network.token)
        hidden = rounded(rectified(raw), HIDDEN_BITS, HIDDEN_LIMIT)
        if self._network.class_out.shape[1] > 1:
            logits = self._class_out.times(hidden)
            logits += self._arrays["class_bias"] + self._class_allowed[rows.event]
            leaf = draw(weights_of(logits), uniform(fold(bits, _CLASS)))
        else:
            leaf = np.zeros(len(rows.event), dtype=np.int64)
        within = uniform(fold(bits, _WITHIN))
        chosen = np.zeros(len(leaf), dtype=np.int64)
        for number, mine in self._classes.runs(leaf):
            members, out, allowed = self._class(number)
            logits = out.times(hidden[mine])
            logits += allowed[rows.event[mine]] if len(allowed) > 1 else allowed[0]
            self._classes.mask(logits, number, rows.recent[mine])
            chosen[mine] = members[draw(weights_of(logits), within[mine])]
        return self._item(chosen, uniform(fold(bits, _RARE)))

    def _class(self, number: int) -> tuple[I64, Matrix, F32]:
        """Of one class: its members, their vectors [H, members], and by event what is added to each."""
        if number not in self._by_class:
            members = self._classes.members(number)
            added = self._arrays["item_bias"][members] + self._allowed[:, members]
            out = Matrix(self._arrays["item_out"][members].T, HIDDEN_BITS, HIDDEN_LIMIT)
            self._by_class[number] = members, out, added
        return self._by_class[number]

    def _item(self, token: I64, spread: F64) -> I64:
        """The items that tokens stand for: one of a pool, one of the fictional names."""
        network, alone = self._network, self._classes.alone
        last = len(network.leaf) - 1
        first = np.append(network.pool_first, network.pool_first[-1])
        pool = np.clip(token - alone, 0, max(last - alone - 1, 0))
        place = first[pool] + (spread * (first[pool + 1] - first[pool])).astype(np.int64)
        pooled = np.append(network.pool_items, 0)[np.minimum(place, len(network.pool_items))]
        found = np.where(token < alone, token, np.where(token < last, pooled, 0))
        other = len(network.token) - 1 + (spread * self._rare_items).astype(np.int64)
        return np.where(token == last, other if self._rare_items else 0, found)
