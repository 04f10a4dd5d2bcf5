"""Users: the same in every shard and for every number of users, with ids that are unique and say nothing."""

from __future__ import annotations

import re

import numpy as np

from personas.population import adopted_share, adoption_day, sample_population, user_ids
from tests.runs import identity_of, pack_of


def test_a_user_does_not_depend_on_how_many_there_are_or_on_the_shard() -> None:
    pack, identity = pack_of("shop"), identity_of("shop", users=9000)
    everybody = sample_population(pack, identity)
    few = sample_population(pack, identity, lambda ids: np.arange(len(ids)) % 7 == 3)
    assert len(everybody) == 9000
    for field in ("ids", "traits", "tastes", "sessions_per_week", "signed_up", "persona"):
        assert (getattr(everybody, field)[few.number] == getattr(few, field)).all()


def test_ids_are_unique_and_differ_between_runs() -> None:
    numbers = np.arange(100_000)
    ids = user_ids("shop-abc", numbers)
    assert len(set(ids.tolist())) == len(numbers)
    assert all(re.fullmatch(rb"u[a-z2-7]{13}", each) for each in ids[:100].tolist())
    assert not set(ids.tolist()) & set(user_ids("shop-abd", numbers).tolist())


def test_adoption_and_its_inverse() -> None:
    pack, chances = pack_of("shop"), np.linspace(0.001, 0.999, 50)
    assert np.allclose(adopted_share(pack, adoption_day(pack, chances)), chances)
    assert adopted_share(pack, np.array([0.0]))[0] == 0.0


def test_nobody_is_a_population_too() -> None:
    identity = identity_of("shop", users=10)
    assert len(sample_population(pack_of("shop"), identity, lambda ids: np.zeros(len(ids), dtype=bool))) == 0
