"""Slates show nothing twice and nothing before its day; propensities are probabilities over the candidates."""

from __future__ import annotations

import numpy as np
import pytest

from personas.randomness import fold
from simulator.slates import grant, propensity_codes, propensity_table
from tests.runs import PACKS, course, pack_of


@pytest.mark.parametrize("name", PACKS)
def test_no_item_twice_and_none_before_its_launch(name: str) -> None:
    slates = course(name, users=200, days=6).played.slates
    items, launch = slates["items"], np.array([item.launch_day for item in pack_of(name).catalog.items])
    ordered = np.sort(items, axis=1)
    assert not ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any()
    there = items >= 0
    assert (launch[np.maximum(items, 0)] <= slates["day"][:, None])[there].all()
    sizes = np.array([slate.size for slate in pack_of(name).product.slates.values()])
    assert (there.sum(axis=1) <= sizes[slates["slate"]]).all()


@pytest.mark.parametrize("name", PACKS)
def test_the_probabilities_of_a_position_add_up_to_one(name: str) -> None:
    """One candidate is the ranked one, the others share the exploration: p(ranked) + (n - 1) p(other) = 1."""
    run = course(name, users=200, days=6)
    rankings, slates = run.simulation.encoder.rankings, run.played.slates
    slate, listed, day = (slates[key].astype(np.int64) for key in ("slate", "listed", "day"))
    table, shape = propensity_table(rankings), slates["as_ranked"].shape
    ranked = table[propensity_codes(rankings, slate, listed, day, np.ones(shape, dtype=bool))]
    other = table[propensity_codes(rankings, slate, listed, day, np.zeros(shape, dtype=bool))]
    epoch = np.searchsorted(rankings.first_day, day, side="right") - 1
    size, slot = rankings.size[slate][:, None], np.arange(shape[1])[None, :]
    candidates = np.maximum((rankings.length[epoch, listed][:, None] - slot + size - 1) // size, 1)
    there = slates["items"] >= 0
    assert np.allclose((ranked + (candidates - 1) * other)[there], 1.0, atol=2e-6)
    assert (ranked[there] >= other[there]).all()


def test_granted_items_are_shown_once_without_gaps_and_most_where_people_look() -> None:
    count, size = 4000, 6
    items = np.tile(np.array([10, 11, 12, -1, -1, -1, -1, -1], dtype=np.int32), (count, 1))
    wishes = np.full((count, 8), -1, dtype=np.int32)
    wishes[:, :2] = [7, 11]
    wishes[::2, 2:6] = [1, 2, 3, 4]
    examination = np.tile(0.5 ** np.arange(8), (count, 1))
    key = fold(np.uint64(5), np.arange(count))
    granted = grant(items, wishes, np.full(count, size), examination, key)
    assert (granted[:, 1] == 11).all(), "what is shown already stays where it is"
    assert ((granted == 7).sum(axis=1) == 1).all() and (granted[:, size:] == -1).all()
    assert (np.diff((granted >= 0).astype(int), axis=1) <= 0).all(), "no gaps"
    assert all((granted[::2] == wish).any(axis=1).all() for wish in (1, 2, 3, 4)), "as many as there are places"
    assert (granted[1::2, 0] == 7).sum() > 3 * (granted[1::2, 2] == 7).sum() > 0
