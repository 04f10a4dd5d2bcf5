"""Item networks: the gradients of all that is learnt, and that what is learnt of some people holds for others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from personas.randomness import F64, fold, root_key, uniform
from simulator.twins import item_learning
from simulator.twins.catalogue import Catalogue
from simulator.twins.descent import Learning
from simulator.twins.item_learning import begin, learn_items, woven
from simulator.twins.items import ItemNetwork, ItemRows, add_items, rectified, tokens_of
from simulator.twins.log import I64
from simulator.twins.shelves import Shelves

ITEMS, CLASSES, DIMENSIONS, RECENT, INPUTS, EVENTS = 30, 3, 5, 8, 4, 2
KEY = root_key("items")


def catalogue() -> Catalogue:
    """30 items in three classes, and one token for those without a name; places at random."""
    draw = np.random.default_rng(1)
    leaf = np.append(np.arange(ITEMS) % CLASSES, 0)
    nothing = np.zeros(0, dtype=np.int64)
    return Catalogue(
        token=np.arange(ITEMS + 1), vector=draw.normal(size=(ITEMS + 1, DIMENSIONS)), leaf=leaf, leaves=CLASSES,
        group=leaf, groups=CLASSES, pool_first=np.zeros(1, dtype=np.int64), pool_items=nothing,
    )  # fmt: skip


def rows(count: int, seed: int) -> tuple[ItemRows, I64]:
    """Histories of up to eight items; the next item is mostly the one ten further than the last."""
    draw = np.random.default_rng(seed)
    recent = np.array([draw.permutation(ITEMS)[:RECENT] for _ in range(count)], dtype=np.int32)
    recent[np.arange(RECENT) >= draw.integers(1, RECENT + 1, count)[:, None]] = -1
    usual, other = (recent[:, 0] + 10) % ITEMS, draw.integers(ITEMS, size=count)
    item = np.where((draw.random(count) < 0.7) | (recent == other[:, None]).any(axis=1), usual, other)
    seen = (recent == item[:, None]).any(axis=1)
    item[seen] = (recent[seen, 0] + 10) % ITEMS
    inputs = draw.normal(size=(count, INPUTS)).astype(np.float32)
    event = draw.integers(EVENTS, size=count)
    return ItemRows(inputs, event, recent[:, :3].copy(), recent), item.astype(np.int64)


def started(told: ItemRows, item: I64) -> tuple[ItemNetwork, dict[str, F64]]:
    """A network before learning, and what is learnt, as doubles."""
    network = begin(catalogue(), INPUTS, told.event, item, EVENTS, KEY)
    first = item_learning._first(network, catalogue(), KEY)
    return network, {name: array.astype(np.float64) for name, array in first.items()}


def test_gradients_are_those_of_the_loss() -> None:
    told, item = rows(60, 2)
    network, arrays = started(told, item)
    shelves = Shelves.of(network)
    target = shelves.of_items(item)
    draw = np.random.default_rng(3)

    def loss(**changed: object) -> float:
        return item_learning._pass(shelves, {**arrays, **changed}, told, target, back=False)[0]  # type: ignore[dict-item]

    _, gradient = item_learning._pass(shelves, arrays, told, target, back=True)  # type: ignore[arg-type]
    assert gradient.keys() == arrays.keys()
    for name, array in arrays.items():
        way = draw.normal(size=array.shape)
        slope = (loss(**{name: array + 1e-4 * way}) - loss(**{name: array - 1e-4 * way})) / 2e-4
        assert float((gradient[name] * way).sum()) == pytest.approx(slope, rel=0.02, abs=2e-4), name
        assert np.abs(gradient[name]).max() > 0, name


def test_the_network_that_is_played_says_what_was_learnt() -> None:
    """Its vectors of items are those of their places."""
    told, item = rows(200, 4)
    network, arrays = started(told, item)
    played = woven(network, {name: array.astype(np.float32) for name, array in arrays.items()})
    assert played.last.shape == played.before.shape == (ITEMS + 2, DIMENSIONS + item_learning.RECTIFIED)
    np.testing.assert_allclose(played.item_out, arrays["place"][:-1] @ arrays["out"], atol=1e-5)
    np.testing.assert_allclose(played.bag, arrays["place"] @ arrays["bag"], atol=1e-5)


def test_a_rule_is_learnt_that_holds_for_others() -> None:
    """The checked rows teach nothing; a guess among 30 items costs 3.4 nats, and who knows the rule pays 1.6."""
    told, item = rows(4000, 5)
    network = begin(catalogue(), INPUTS, told.event, item, EVENTS, KEY)
    check = uniform(fold(KEY, np.arange(len(item)))) < 0.2
    _, course = learn_items(network, catalogue(), told, item, check, KEY, Learning(rate=5e-3))
    assert course["start"] > 3.0 and course["loss"] < 2.0


def test_what_is_played_costs_what_the_course_says() -> None:
    """The loss of the checked rows, worked out item by item from the arrays that a player reads."""
    told, item = rows(3000, 6)
    network = begin(catalogue(), INPUTS, told.event, item, EVENTS, KEY)
    check = uniform(fold(KEY, np.arange(len(item)))) < 0.2
    played, course = learn_items(network, catalogue(), told, item, check, KEY, Learning(rate=5e-3, passes=4))
    held, target = told.part(np.flatnonzero(check)), tokens_of(item[check], played.token)
    raw = held.inputs @ played.into
    add_items(raw, {name: getattr(played, name) for name in ("into_bias", "last", "before", "bag")}, held, played.token)
    hidden, leaf = rectified(raw), played.leaf[target].astype(np.int64)
    classes = hidden @ played.class_out + played.class_bias + played.class_allowed[held.event]
    items = hidden @ played.item_out.T + played.item_bias + played.allowed[held.event]
    row, place = np.nonzero((held.recent >= 0) & (held.recent != item[check][:, None]))
    items[row, held.recent[row, place]] = -1e9
    items[played.leaf[None, :] != leaf[:, None]] = -1e9
    at = np.arange(len(target))
    told_by_hand = logsumexp(classes, axis=1) - classes[at, leaf] + logsumexp(items, axis=1) - items[at, target]
    assert float(told_by_hand.mean()) == pytest.approx(course["loss"], abs=1e-4)
