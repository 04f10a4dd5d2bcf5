"""How an item network is learnt: every item has one place, and all that the network knows of it follows from there.

What an item adds to the history as the last one, as the one before, as one of the recent, and what makes it likely are
four linear maps of its place, the same maps for all items. So an item that was met six times has one short vector to
learn, not four long ones. Weighed against tables of their own for each of the four, from the same beginnings: on 500
sessions of a real shop they said 3.4 nats of the items they had learnt from and 4.3 of other people's, and the maps 3.6
and 4.2; recommenders learnt more from their twins, and attackers less (see docs/twins.md).

Places begin as those of the catalogue. Where a class or an item is likely whatever came before is learnt besides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from personas.randomness import F64, fold, standard_normal
from simulator.twins.catalogue import Catalogue
from simulator.twins.descent import F32, Bools, Course, Learning, descend
from simulator.twins.fixed_point import RULED_OUT
from simulator.twins.items import BAG, RECTIFIED, ItemNetwork, ItemRows, rectified
from simulator.twins.log import I64
from simulator.twins.network import scattered
from simulator.twins.shelves import Shelves

SHRUNK = 2.0
#: The maps of places to what the network knows of an item, and how strongly each lets through at first.
MAPS = {"last": 0.7, "before": 0.2, "bag": 0.05}
#: Arrays of the network that are learnt as they are.
_FREE = ("into", "into_bias", "class_out", "class_bias", "item_bias")

#: A place of few choices is few people's, and the maps are everybody's: it moves at this share of the maps' rate where
#: an item was chosen so often or less, and at the same rate from about eight times as often on.
SLOWEST, SELDOM = 0.35, 30.0
#: Arrays with a row for each token, and of what is learnt those in the order of `Shelves`.
_BY_TOKEN = ("place", "item_bias")

Arrays = dict[str, F32]


def begin(catalogue: Catalogue, inputs: int, event: I64, item: I64, events: int, key: np.uint64) -> ItemNetwork:
    """A network before learning: popularity, and which items go with which events; items have no vectors yet."""
    tokens, hidden = len(catalogue.leaf), catalogue.vector.shape[1] + RECTIFIED
    counts = np.zeros((events, tokens))
    np.add.at(counts, (event, catalogue.token[np.minimum(item, len(catalogue.token) - 1)]), 1.0)
    classes = np.zeros((events, catalogue.leaves))
    np.add.at(classes.T, catalogue.leaf, counts.T)
    noise = standard_normal(fold(key, np.arange(inputs * hidden))).reshape(inputs, hidden)
    sizes = np.bincount(catalogue.leaf, minlength=catalogue.leaves)
    popularity: F64 = counts.sum(axis=0)
    by_class = np.bincount(catalogue.leaf, popularity) + 0.1
    usual = (by_class / sizes)[catalogue.leaf]
    popularity = popularity + SHRUNK * usual / (1.0 + usual)
    by_class = np.bincount(catalogue.leaf, popularity).astype(np.float64)
    nothing = np.zeros((tokens + 1, hidden))
    values = {
        "into": noise * math.sqrt(0.5 / max(inputs, 1)), "into_bias": np.zeros(hidden), "last": nothing,
        "before": nothing, "bag": nothing, "class_out": np.zeros((hidden, catalogue.leaves)),
        "class_bias": np.log(by_class), "item_out": nothing[1:],
        "item_bias": np.log(popularity / by_class[catalogue.leaf]),
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


def learn_items(
    network: ItemNetwork, catalogue: Catalogue, rows: ItemRows, item: I64, check: Bools, key: np.uint64,
    learning: Learning,
) -> tuple[ItemNetwork, dict[str, Any]]:  # fmt: skip
    """Fit to the items [n] that were chosen. Returns the best by the likelihood of the checked rows, and figures."""
    shelves = Shelves.of(network)
    arrays = _first(network, catalogue, key)
    for name in _BY_TOKEN:
        arrays[name] = arrays[name][shelves.order[: len(arrays[name])]]
    target = shelves.of_items(item)
    train, held = np.flatnonzero(~check), np.flatnonzero(check)
    course = Course(0.0, 0.0, 0)

    def gradients(part: I64) -> list[F32]:
        rows_of = train[part]
        found = _pass(shelves, arrays, rows.part(rows_of), target[rows_of], back=True)[1]
        return [found[name] for name in arrays]

    if len(train) > 1 and len(held):
        course = descend(
            list(arrays.values()),
            len(train),
            gradients,
            lambda: _loss(shelves, arrays, rows.part(held), target[held]),
            key,
            replace(learning, decay=learning.decay * 10),
            [_share(len(train) / len(catalogue.leaf)) if name == "place" else 1.0 for name in arrays],
        )
    for name in _BY_TOKEN:
        arrays[name] = arrays[name][shelves.rank[: len(arrays[name])]]
    return woven(network, arrays), asdict(course)


def _share(often: float) -> float:
    """Of the rate, for the places of items that were chosen so often on average."""
    return min(1.0, SLOWEST * max(1.0, math.sqrt(often / SELDOM)))


def _first(network: ItemNetwork, catalogue: Catalogue, key: np.uint64) -> Arrays:
    """What is learnt, at the beginning: `place` [I+2, d] of each token and of no item; `last`, `before`, `bag` and
    `out` [d, H], the maps of it; and the free arrays. Each map first hands a place on, to the linear numbers and, but
    for `out`, to the rectified ones."""
    tokens, dimensions = catalogue.vector.shape
    hidden = network.into.shape[1]
    place = np.zeros((tokens + 1, dimensions))
    place[:-1] = catalogue.vector
    handed_on = np.eye(dimensions, hidden)
    shared = min(dimensions, RECTIFIED)
    both = handed_on.copy()
    both[np.arange(shared), dimensions + np.arange(shared)] = 1.0
    noise = standard_normal(fold(fold(key, 2), np.arange(dimensions * hidden))).reshape(dimensions, hidden)
    out = 0.5 * handed_on + 0.02 * noise
    arrays = {"place": place, "out": out, **{name: both * share for name, share in MAPS.items()}}
    learnt = {name: value.astype(np.float32) for name, value in arrays.items()}
    learnt |= {name: getattr(network, name).copy() for name in _FREE}
    sizes = np.bincount(catalogue.leaf, minlength=catalogue.leaves)
    middle = np.zeros((catalogue.leaves, hidden), dtype=np.float32)
    np.add.at(middle, catalogue.leaf, (learnt["place"][:-1] @ learnt["out"]) / sizes[catalogue.leaf][:, None])
    return learnt | {"class_out": np.ascontiguousarray(middle.T.astype(np.float32))}


def woven(network: ItemNetwork, arrays: Mapping[str, F32]) -> ItemNetwork:
    """The network with what was learnt: each item's vectors, from its place."""
    found: dict[str, Any] = {name: arrays[name] for name in _FREE}
    found |= {name: arrays["place"] @ arrays[name] for name in MAPS}
    return replace(network, **found, item_out=arrays["place"][:-1] @ arrays["out"])


def _loss(shelves: Shelves, arrays: Arrays, rows: ItemRows, target: I64) -> float:
    total = 0.0
    for first in range(0, len(target), 4096):
        part = np.arange(first, min(first + 4096, len(target)))
        total += _pass(shelves, arrays, rows.part(part), target[part], back=False)[0] * len(part)
    return total / len(target)


def _pass(shelves: Shelves, arrays: Arrays, rows: ItemRows, target: I64, *, back: bool) -> tuple[float, Arrays]:
    """Mean loss, and the gradients of all arrays."""
    order = np.argsort(target, kind="stable")  # class by class
    rows, target = rows.part(order), target[order]
    last, bag = shelves.of_items(rows.last[:, :2]), shelves.of_items(rows.recent[:, :BAG])
    ranks = {"last": last[:, :1], "before": last[:, 1:], "bag": bag}
    places = {name: arrays["place"][rank].sum(axis=1) for name, rank in ranks.items()}
    raw = rows.inputs @ arrays["into"] + arrays["into_bias"]
    for name, place in places.items():
        raw += place @ arrays[name]
    hidden = rectified(raw).astype(np.float32)
    loss, gradient, down = _chosen(shelves, arrays, rows, target, hidden, back=back)
    if not back:
        return loss, {}
    half = hidden.shape[1] - RECTIFIED
    down[:, half:] *= hidden[:, half:] > 0
    gradient["into"] = (rows.inputs.T @ down).astype(np.float32)
    gradient["into_bias"] = down.sum(axis=0)
    for name, place in places.items():
        gradient[name] = place.T @ down
        known, rank = np.unique(ranks[name], return_inverse=True)
        gradient["place"][known] += scattered(rank.reshape(ranks[name].shape), down @ arrays[name].T, len(known))
    return loss, gradient


def _chosen(
    shelves: Shelves, arrays: Arrays, rows: ItemRows, target: I64, hidden: F32, *, back: bool
) -> tuple[float, Arrays, F32]:
    """The half of a pass from the numbers of histories, [n, H], to the items chosen, which rise: mean loss, gradients
    of what lies there, and those of the numbers."""
    count, leaf = len(target), np.searchsorted(shelves.first, target, side="right") - 1
    gradient = {name: np.zeros_like(array) for name, array in arrays.items()} if back else {}
    down, loss = np.zeros_like(hidden), 0.0
    if arrays["class_out"].shape[1] > 1:
        logits = hidden @ arrays["class_out"] + arrays["class_bias"] + shelves.class_allowed[rows.event]
        loss += _softmax(logits, leaf) / count
        if back:
            logits /= count
            gradient["class_out"], gradient["class_bias"] = hidden.T @ logits, logits.sum(axis=0)
            down += logits @ arrays["class_out"].T
    wish: F32 = hidden @ arrays["out"].T  # where the item should lie, [n, d]: so no item's own vector is needed here
    asked = np.zeros_like(wish)
    had, taken = shelves.had(rows.recent, leaf, target)
    start = np.append(np.flatnonzero(np.diff(leaf, prepend=-1)), count)
    cut = np.searchsorted(had, start)
    for number, (one, end) in enumerate(itertools.pairwise(start.tolist())):
        first, stop = shelves.first[leaf[one]], shelves.first[leaf[one] + 1]
        place = arrays["place"][first:stop]
        logits = wish[one:end] @ place.T
        logits += arrays["item_bias"][first:stop]
        logits += shelves.allowed[rows.event[one:end], first:stop]
        out = slice(cut[number], cut[number + 1])
        logits[had[out] - one, taken[out] - first] = RULED_OUT
        loss += _softmax(logits, target[one:end] - first) / count
        if back:
            logits /= count
            gradient["place"][first:stop] += logits.T @ wish[one:end]
            gradient["item_bias"][first:stop] = logits.sum(axis=0)
            asked[one:end] = logits @ place
    if back:
        gradient["out"] = asked.T @ hidden
        down += asked @ arrays["out"]
    return loss, gradient, down


def _softmax(logits: F32, target: I64) -> float:
    """The sum of losses; the logits become probability minus target."""
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    at = np.arange(len(target))
    loss = -float(np.log(np.maximum(logits[at, target], 1e-30)).sum())
    logits[at, target] -= 1.0
    return loss
