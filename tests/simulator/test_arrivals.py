"""The calendar of activity: there and back again, dead hours skipped; satisfaction falls, heals and decides."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from personas.product import Loyalty
from simulator.arrivals import BREAK_MS, HOUR_MS, Arrivals, churn_hazard, return_factor, settle
from tests.runs import PACKS, START, pack_of

ONE = np.ones(1)


@pytest.mark.parametrize("name", PACKS)
def test_activity_and_its_inverse(name: str) -> None:
    arrivals = Arrivals(pack_of(name), START)
    instants = np.arange(0, 20 * 24) * HOUR_MS + 1_234_567
    for persona in range(len(pack_of(name).personas)):
        who = np.full(len(instants), persona)
        activity = arrivals.activity(instants, who)
        alive = arrivals.hours[persona, (instants // HOUR_MS + START.weekday() * 24) % 168] > 0
        assert (np.diff(activity) >= 0).all()
        assert (np.abs(arrivals.instant(activity, who) - instants)[alive] <= 2).all()


def test_a_week_has_168_hours_of_activity_wherever_it_starts() -> None:
    for start in (START, datetime(2026, 1, 5, 13, 30, tzinfo=UTC)):
        arrivals = Arrivals(pack_of("shop"), start)
        ends = arrivals.activity(np.array([0, 7 * 24 * HOUR_MS]), np.zeros(2, dtype=np.int64))
        assert ends[1] - ends[0] == pytest.approx(168)


def test_the_next_session_waits_for_the_end_of_this_one() -> None:
    arrivals, zero = Arrivals(pack_of("shop"), START), np.zeros(1, dtype=np.int64)
    ended = np.array([50 * HOUR_MS])
    soon = arrivals.next_start(zero, ended, zero, np.array([1e6]), np.array([1], dtype=np.uint64))
    assert soon[0] == ended[0] + BREAK_MS


def test_satisfaction() -> None:
    loyalty = Loyalty(recovery=0.5, reward=0.1, least_return=0.25, churn_factor=5)
    base = 0.8 * ONE
    assert settle(base, base, 0.3 * ONE, 0 * ONE, loyalty) == pytest.approx(0.5)
    assert settle(0.1 * ONE, base, 0.3 * ONE, 0 * ONE, loyalty) == 0.0
    assert settle(0.4 * ONE, base, 0 * ONE, 0 * ONE, loyalty) == pytest.approx(0.6)
    assert settle(base, base, 0 * ONE, ONE, loyalty) == pytest.approx(0.82)
    assert return_factor(0.1 * ONE, base, loyalty) == 0.25 and return_factor(0.9 * ONE, base, loyalty) == 1.0
    assert churn_hazard(0.02 * ONE, base, base, loyalty) == pytest.approx(0.02)
    assert churn_hazard(0.02 * ONE, 0 * ONE, base, loyalty) == pytest.approx(0.1)
    assert churn_hazard(0.9 * ONE, 0 * ONE, base, loyalty) == 1.0
