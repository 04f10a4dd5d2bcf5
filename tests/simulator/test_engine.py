"""The engine: what a user does depends on nothing but the user; sessions end; weights tell how likely a session was."""

from __future__ import annotations

import numpy as np
import pytest

from personas.population import DAY_MS
from simulator.engine import MAX_EVENTS_PER_SESSION
from tests.runs import PACKS, course, simulation_of


@pytest.mark.parametrize("name", PACKS)
def test_playing_in_pieces_changes_nothing(name: str) -> None:
    whole = course(name, users=200, days=6).played
    engine = simulation_of(name, users=200).engine
    parts = [engine.play(at) for at in (DAY_MS // 3, 2 * DAY_MS, 2 * DAY_MS, 6 * DAY_MS)]
    for table in ("events", "sessions"):
        for column in ("time" if table == "events" else "started", "user"):
            joined = np.concatenate([getattr(part, table)[column] for part in parts])
            assert sorted(joined.tolist()) == sorted(getattr(whole, table)[column].tolist())


@pytest.mark.parametrize("name", PACKS)
def test_sessions_are_what_their_events_are(name: str) -> None:
    played = course(name, users=200, days=6).played
    events, sessions = played.events, played.sessions
    key = events["user"].astype(np.int64) * 100_000 + events["session"]
    of = sessions["user"].astype(np.int64) * 100_000 + sessions["session"]
    found, counts = np.unique(key, return_counts=True)
    order = np.argsort(of)
    assert (of[order] == found).all() and (sessions["events"][order] == counts).all()
    assert counts.min() >= 1 and counts.max() <= MAX_EVENTS_PER_SESSION
    first, last = np.full(len(of), 2**62), np.zeros(len(of), dtype=np.int64)
    place = np.searchsorted(found, key)
    np.minimum.at(first, place, events["time"])
    np.maximum.at(last, place, events["time"])
    assert (sessions["started"][order] == first).all() and (sessions["ended"][order] == last).all()


def test_weights_average_to_one_and_multiply_up() -> None:
    """An importance weight is a likelihood ratio: its mean under what was played is 1."""
    sessions = course("shop", users=2000, days=20, problem_rate=10.0).played.sessions
    first = sessions["session"] == 0
    weight = sessions["weight"][first]
    assert abs(weight.mean() - 1) < 4.5 * weight.std() / np.sqrt(len(weight))
    assert weight.std() > 0.1
    one = np.flatnonzero(sessions["user"] == sessions["user"][sessions["session"] == 3][0])
    one = one[np.argsort(sessions["session"][one])]
    assert np.allclose(np.cumprod(sessions["weight"][one]), sessions["history_weight"][one])


def test_who_has_churned_never_comes_back() -> None:
    sessions = course("shop", users=2000, days=20).played.sessions
    last = np.zeros(2000, dtype=np.int64)
    np.maximum.at(last, sessions["user"], sessions["session"])
    gone = sessions["churned"]
    assert gone.any() and (sessions["session"][gone] == last[sessions["user"][gone]]).all()
