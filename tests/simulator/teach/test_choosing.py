"""Visits are chosen for what they tell, and their worth falls as they are taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.behaviour.fit import fit
from simulator.behaviour.moves import BLOCKS
from simulator.behaviour.traces import no_traces
from simulator.teach.choosing import Kinds, allot, survey
from simulator.teach.walks import TROUBLE, Tables, Visits, next_users, room_of, visit
from tests.runs import pack_of

PLENTY = np.full(2, 10_000)


def kinds(information: list[list[float]], variance: list[float], length: tuple[float, float] = (10.0, 10.0)) -> Kinds:
    return Kinds(
        persona=np.arange(2), intent=np.zeros(2, dtype=np.int64), troubled=np.zeros(2, dtype=bool),
        length=np.array(length), traffic=np.array([0.5, 0.5]), information=np.array(information),
        weight=np.ones(len(variance)), variance=np.array(variance),
    )  # fmt: skip


def test_what_is_in_doubt_is_asked_first_and_doubt_falls_as_it_is_asked() -> None:
    one = allot(kinds([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.01]), 500.0, 1000, PLENTY)
    assert one[0] > 3 * max(one[1], 1)
    equal = allot(kinds([[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0]), 480.0, 1000, PLENTY)
    assert abs(equal[0] - equal[1]) <= 2 and 40 <= equal.sum() <= 50


def test_a_visit_that_costs_more_has_to_tell_more() -> None:
    dear = allot(kinds([[1.0], [1.0]], [0.1], length=(40.0, 10.0)), 400.0, 1000, PLENTY)
    assert dear[0] == 0 and dear[1] > 30


def test_limits_of_visits_and_users_hold() -> None:
    two = kinds([[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0])
    assert allot(two, 1e6, 7, PLENTY).sum() == 7
    few = allot(two, 1000.0, 1000, np.array([3, 0]))
    assert few.tolist() == [3, 0]
    assert allot(two, 0.0, 1000, PLENTY).sum() == 0


def test_a_survey_tells_what_each_kind_of_visit_would_bring() -> None:
    room = room_of(pack_of("shop"), 1, 6000)
    untaught = fit(room.prior, no_traces(room.pack), room.world, room.rankings)
    found = survey(room, untaught)
    pairs = int((room.prior.intents > 0).sum())
    assert len(found.length) == 2 * pairs and found.troubled.sum() == pairs and TROUBLE > 1
    assert abs(found.traffic.sum() - 1) < 1e-9 and (found.traffic[found.troubled] == 0).all()
    assert (found.information.sum(axis=1) > 0).all() and (found.length > 1).all() and (found.variance > 0).all()
    personas, intents = len(room.pack.personas), len(room.pack.product.intents)
    assert sorted(set(zip(found.persona.tolist(), found.intent.tolist(), strict=True))) == [
        (p, g) for p in range(personas) for g in range(intents) if room.prior.intents[p, g] > 0
    ]
    users = next_users(room, np.zeros(6000, dtype=bool), 300, persona=1)
    visits = Visits(users, np.full(300, 2), np.zeros(300, dtype=bool))
    taught = fit(room.prior, visit(room, visits, Tables(room.prior))[0], room.world, room.rankings)
    after = survey(room, replace(taught, behaviour=room.prior))
    assert after.variance.sum() < found.variance.sum() and len(BLOCKS) > 10
    chosen = allot(after, 2000.0, 1000, np.full(personas, 1000))
    same = (after.persona == 1) & (after.intent == 2)
    assert chosen.sum() > 50 and chosen[same].sum() < 0.2 * chosen.sum(), "what was taught is not asked again"
