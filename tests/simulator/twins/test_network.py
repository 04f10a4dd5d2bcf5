"""Networks learn shares that are right on the whole, and what an item says of what comes next."""

from __future__ import annotations

import numpy as np

from personas.randomness import fold, root_key, standard_normal, uniform
from simulator.twins.descent import F32, Learning
from simulator.twins.network import LEARNT, Known, Network, _averaged, _forward, _settled, learn, loss_of, start

ROWS = 6000
KEY = root_key("learnt")


def test_each_class_is_as_probable_as_it_is_frequent_however_early_learning_stops() -> None:
    answer = np.minimum((uniform(fold(KEY, np.arange(ROWS))) ** 2 * 12).astype(np.int64), 11)
    inputs = np.ones((ROWS, 1), np.float32) + np.arange(ROWS)[:, None].astype(np.float32) % 3
    known = Known(inputs, np.zeros((ROWS, 1), np.int64), 1)
    check = np.arange(ROWS) % 10 == 0
    network, _ = learn([(known, Learning(passes=2, rate=0.05))], answer, 12, check, KEY)
    logits = _forward(network, known.part(np.flatnonzero(~check)))[1].astype(np.float64)
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shares = np.bincount(answer[~check], minlength=12) / (~check).sum()
    assert np.abs(found.mean(axis=0) / shares - 1).max() < 0.03


def test_one_of_two_codes_that_tells_the_answer_is_learnt() -> None:
    code = (uniform(fold(KEY, np.arange(ROWS))) * 4).astype(np.int64)
    odd = uniform(fold(KEY, ROWS + np.arange(ROWS)))
    answer = (odd < np.array([0.1, 0.3, 0.6, 0.9])[code]).astype(np.int64)
    known = Known(np.zeros((ROWS, 1), np.float32), np.column_stack([np.zeros(ROWS, np.int64), 1 + code]), 5)
    network, _ = learn([(known, Learning(decay=1e-3))], answer, 2, np.arange(ROWS) % 10 == 0, KEY)
    logits = _forward(network, Known(np.zeros((4, 1), np.float32), np.array([[0, 1], [0, 2], [0, 3], [0, 4]]), 5))[1]
    chance = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    assert np.abs(chance - [0.1, 0.3, 0.6, 0.9]).max() < 0.06


def test_averaged_networks_say_the_mean_of_what_each_says() -> None:
    networks = [varied(seed) for seed in (1, 2, 3)]
    known = Known(noise(4, 20, 5), np.arange(20)[:, None] % 3, 3)
    each = [_forward(network, known)[1] for network in networks]
    np.testing.assert_allclose(_forward(_averaged(networks), known)[1], np.mean(each, axis=0), atol=1e-5)


def test_at_rest_what_is_expected_of_each_input_is_what_its_rows_show() -> None:
    draw = uniform(fold(KEY, np.arange(4 * ROWS))).reshape(4, ROWS)
    inputs = np.eye(5, dtype=np.float32)[(draw[0] * 5).astype(np.int64)]
    known = Known(inputs, (draw[1] * 3).astype(np.int64)[:, None], 3)
    answer = (draw[2] < 0.2 + 0.1 * inputs @ np.arange(5)).astype(np.int64) + (draw[3] < 0.3)

    def apart(network: Network) -> float:
        logits = _forward(network, known)[1].astype(np.float64)
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        shown = np.eye(3)[answer]
        return float(np.abs(inputs.T @ (expected - shown)).max() / (ROWS / 5))

    before = start(5, 3, 8, 3, KEY)
    assert apart(before) > 0.2
    assert apart(_settled(before, known, answer)) < 0.01


def varied(seed: int) -> Network:
    """A network with nothing at zero."""
    network = start(5, 3, 8, 4, KEY)
    arrays = {name: getattr(network, name) for name in LEARNT}
    return Network(**{name: noise(seed, *array.shape) for name, array in arrays.items()})


def noise(seed: int, *shape: int) -> F32:
    """Numbers around zero."""
    return standard_normal(fold(fold(KEY, seed), np.arange(np.prod(shape)))).reshape(shape).astype(np.float32)


def test_few_rows_are_not_believed_more_than_the_checked_ones_allow() -> None:
    """Answers by chance, forty inputs and 150 rows: what the rows show by chance costs others more than a guess."""
    inputs = (uniform(fold(KEY, np.arange(150 * 40))) < 0.5).reshape(150, 40).astype(np.float32)
    answer = (uniform(fold(KEY, 90_000 + np.arange(150))) < 0.2).astype(np.int64)
    known = Known(inputs, np.zeros((150, 1), np.int64), 1)
    network, figures = learn([(known, Learning())], answer, 2, np.arange(150) % 3 == 0, KEY)
    assert figures["loss"] <= figures["first"] + 0.02
    others = (uniform(fold(KEY, 70_000 + np.arange(4000 * 40))) < 0.5).reshape(4000, 40).astype(np.float32)
    told = Known(others, np.zeros((4000, 1), np.int64), 1)
    guess = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    assert loss_of(network, told, (uniform(fold(KEY, 50_000 + np.arange(4000))) < 0.2).astype(np.int64)) < guess + 0.08
