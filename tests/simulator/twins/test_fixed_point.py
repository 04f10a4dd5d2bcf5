"""Networks are played with the same bits in any batch, in any order of adding."""

from __future__ import annotations

import math

import numpy as np
import pytest

from personas.randomness import F64, fold, root_key, standard_normal, uniform
from simulator.twins.descent import F32
from simulator.twins.fixed_point import INPUT_BITS, INPUT_LIMIT, RULED_OUT, Matrix, Player, draw, rounded, weights_of
from simulator.twins.network import start

ROWS, SIZE, CLASSES = 64, 200, 30
KEY = root_key("exact")


def normal(number: int, *shape: int) -> F64:
    return standard_normal(fold(fold(KEY, number), np.arange(math.prod(shape)))).reshape(shape)


def inputs() -> F32:
    return rounded(normal(1, ROWS, SIZE) * 3, INPUT_BITS, INPUT_LIMIT)


@pytest.mark.parametrize(("size", "kind"), [(0.01, np.float32), (0.5, np.float32), (500.0, np.float64)])
def test_a_product_is_exact_and_so_the_same_in_any_order(size: float, kind: type) -> None:
    matrix, rows = Matrix(normal(2, SIZE, CLASSES) * size, INPUT_BITS, INPUT_LIMIT), inputs()
    assert matrix.values.dtype == kind
    found = matrix.times(rows)
    whole = (rows * 2.0**INPUT_BITS).astype(np.int64) @ (matrix.values * 2.0**14).astype(np.int64)
    assert (found.astype(np.float64) * 2.0 ** (INPUT_BITS + 14) == whole).all()
    turned = np.arange(SIZE)[::-1]
    matrix.values = matrix.values[turned].copy()
    assert (matrix.times(rows[:, turned]) == found).all()


def test_rounding_costs_little() -> None:
    network = start(SIZE, 1, 16, CLASSES, KEY)
    network.wide[:] = normal(3, SIZE, CLASSES) * 0.1
    rows = inputs()
    exact = np.maximum(rows @ network.into, 0) @ network.out + rows @ network.wide
    assert np.abs(Player(network).logits(rows, np.zeros((ROWS, 1), np.int64)) - exact).max() < 0.1


def test_classes_are_drawn_in_proportion_and_never_what_is_ruled_out() -> None:
    logits = np.tile(np.log([0.2, 0.5, 0.3, 1.0]).astype(np.float32), (20_000, 1))
    logits[:, 3] = RULED_OUT
    numbers = uniform(fold(KEY, np.arange(20_000)))
    numbers[0] = np.nextafter(1.0, 0.0)
    shares = np.bincount(draw(weights_of(logits), numbers), minlength=4) / 20_000
    assert shares[3] == 0
    assert shares[:3] == pytest.approx([0.2, 0.5, 0.3], abs=0.015)
