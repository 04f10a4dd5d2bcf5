"""Networks learn shares that are right on the whole, and what an item says of what comes next."""

from __future__ import annotations

import numpy as np

from personas.randomness import fold, root_key, uniform
from simulator.twins.descent import Learning
from simulator.twins.network import Known, _forward, learn

ROWS = 6000
KEY = root_key("learnt")


def test_each_class_is_as_probable_as_it_is_frequent_however_early_learning_stops() -> None:
    answer = np.minimum((uniform(fold(KEY, np.arange(ROWS))) ** 2 * 12).astype(np.int64), 11)
    inputs = np.ones((ROWS, 1), np.float32) + np.arange(ROWS)[:, None].astype(np.float32) % 3
    known = Known(inputs, np.zeros((ROWS, 1), np.int64), 1)
    check = np.arange(ROWS) % 10 == 0
    network, _ = learn(known, answer, 12, check, KEY, Learning(passes=2, rate=0.05))
    logits = _forward(network, known.part(np.flatnonzero(~check)))[1].astype(np.float64)
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shares = np.bincount(answer[~check], minlength=12) / (~check).sum()
    assert np.abs(found.mean(axis=0) / shares - 1).max() < 0.03


def test_one_of_two_codes_that_tells_the_answer_is_learnt() -> None:
    code = (uniform(fold(KEY, np.arange(ROWS))) * 4).astype(np.int64)
    odd = uniform(fold(KEY, ROWS + np.arange(ROWS)))
    answer = (odd < np.array([0.1, 0.3, 0.6, 0.9])[code]).astype(np.int64)
    known = Known(np.zeros((ROWS, 1), np.float32), np.column_stack([np.zeros(ROWS, np.int64), 1 + code]), 5)
    network, _ = learn(known, answer, 2, np.arange(ROWS) % 10 == 0, KEY, Learning(decay=1e-3))
    logits = _forward(network, Known(np.zeros((4, 1), np.float32), np.array([[0, 1], [0, 2], [0, 3], [0, 4]]), 5))[1]
    chance = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    assert np.abs(chance - [0.1, 0.3, 0.6, 0.9]).max() < 0.06
