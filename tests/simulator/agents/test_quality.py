"""Measures of what goes wrong with agents: each lets varied play pass, and each warns where it is degenerate."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from simulator.agents.quality import Measure, Said, explained, of_behaviour, of_texts, tone
from simulator.behaviour.traces import Traces
from simulator.teach.predicting import next_event_chances
from simulator.teach.walks import Room, Tables, Visits, next_users, room_of, visit
from tests.runs import PACKS, pack_of


@lru_cache
def played(name: str) -> tuple[Room, Traces]:
    """Visits by the pack's own tables: as varied as play should be."""
    room = room_of(pack_of(name), 3, 1000)
    users = next_users(room, np.zeros(1000, dtype=bool), 200)
    traces, _ = visit(room, Visits(users, np.full(200, -1), np.zeros(200, dtype=bool)), Tables(room.prior))
    return room, traces


def measures(name: str, change: Callable[[Traces], Traces] = lambda traces: traces) -> dict[str, Measure]:
    room, traces = played(name)
    changed = change(traces)
    leaving = next_event_chances(changed, room.prior, room.world)[:, -1]
    return {one.name: one for one in of_behaviour(changed, room.prior, leaving)}


@pytest.mark.parametrize("name", PACKS)
def test_play_by_the_tables_of_a_pack_does_not_warn(name: str) -> None:
    found = measures(name)
    assert all(one.figure is not None for one in found.values())
    assert [str(one) for one in found.values() if one.warns] == []
    assert found["extreme_stays"].figure == pytest.approx(1, abs=0.15)
    assert found["early_leaves"].figure == pytest.approx(1, abs=0.4)


def same_visits(traces: Traces) -> Traces:
    """Everybody does what the first visitor did, as far as the visit goes."""
    order = np.arange(len(traces)) - np.searchsorted(traces.session, traces.session)
    path = traces.event[traces.session == 0]
    return replace(traces, event=path[order % len(path)])


def middling_stays(traces: Traces) -> Traces:
    return replace(traces, dwell=np.where(np.isfinite(traces.dwell), np.float32(12.0), np.nan).astype(np.float32))


def nobody_leaves(traces: Traces) -> Traces:
    leave = traces.event.max()
    early = (traces.events <= 2) & (traces.event == leave)
    return replace(traces, event=np.where(early, 0, traces.event).astype(np.int16))


def from_nowhere(traces: Traces) -> Traces:
    choices = traces.choices
    shown = choices.shown.copy()
    shown[3, choices.place[3]] = -1
    return replace(traces, choices=replace(choices, shown=shown))


@pytest.mark.parametrize(("change", "warned"), [
    (same_visits, "personas_differ"), (same_visits, "visits_repeated"), (middling_stays, "extreme_stays"),
    (nobody_leaves, "early_leaves"), (from_nowhere, "items_invented"),
])  # fmt: skip
def test_degenerate_play_warns(change: Callable[[Traces], Traces], warned: str) -> None:
    found = measures("shop", change)
    assert found[warned].warns, str(found[warned])
    if warned == "items_invented":
        assert found[warned].figure == 1


def test_little_tells_nothing() -> None:
    few = measures("shop", lambda traces: traces.of_sessions(np.arange(traces.sessions) < 3))
    told = {name: one.figure for name, one in few.items()}
    assert told["personas_differ"] is None and told["visits_repeated"] is None and told["items_invented"] == 0
    assert not any(one.warns for one in few.values()) and not any(one.warns for one in of_texts([]))
    assert json.dumps([one.told() for one in of_texts([])])


def test_explained_is_zero_by_chance_and_one_where_groups_are_all() -> None:
    """Points that are independent of their groups: the correction leaves nothing, give or take."""
    places = np.arange(400)
    points = np.stack([np.sin(places * 12.9898) % 1, np.cos(places * 78.233) % 1], axis=1)
    assert abs(explained(points, places * 7919 % 5) or 0.0) < 0.03
    assert explained(np.repeat(np.eye(4), 100, axis=0), np.repeat(np.arange(4), 100)) == pytest.approx(1)


TOPICS = ("lamp", "tent", "invoice", "parcel", "coupon", "login", "rug", "stove", "candle", "planter")
VOICES = {
    "grumpy": "{0} still broken since {1}, nobody answers, this {0} thing is useless number {2}",
    "chatty": "so i looked at my {0} this morning and, you will laugh, the {1} fell over again, what now {2}",
    "terse": "{0}? {1} no {2} why",
    "formal": "Good day, my {0} of order {2} has not arrived with the {1}; kindly tell me when it will",
}


def varied() -> list[Said]:
    """Four voices, ten topics."""
    moods = {"grumpy": "angry", "chatty": "calm", "terse": "annoyed", "formal": "worried"}
    return [
        Said(persona, voice.format(TOPICS[n % 10], TOPICS[(n * 3 + 1) % 10], "x" * (n % 7 + 1)), moods[persona],
             0.9 if persona == "formal" else 0.1, most_words=40)
        for n in range(30) for persona, voice in VOICES.items()
    ]  # fmt: skip


def texts(change: Callable[[Said], Said] = lambda said: said) -> dict[str, Measure]:
    return {one.name: one for one in of_texts([change(said) for said in varied()])}


def test_varied_texts_do_not_warn() -> None:
    found = texts()
    assert all(one.figure is not None for one in found.values())
    assert [str(one) for one in found.values() if one.warns] == []


@pytest.mark.parametrize(("change", "warned"), [
    (lambda said: replace(said, text="Hello, I have a problem with my order, could you help me?"), "texts_alike"),
    (lambda said: replace(said, text=f"My {TOPICS[len(said.text) % 10]} and the {TOPICS[len(said.text) * 7 % 10]} "
                                     f"did not come {len(said.text) % 3}"), "voices_differ"),
    (lambda said: replace(said, text=f"I love this wonderful {said.text[:9]}, it is perfect"),
     "pleased_when_displeased"),
    (lambda said: replace(said, text=f"{said.text}, please, thank you kindly"), "polite_when_informal"),
    (lambda said: replace(said, text=f"{said.text} and" * 9), "too_long"),
])  # fmt: skip
def test_degenerate_texts_warn(change: Callable[[Said], Said], warned: str) -> None:
    found = texts(change)
    assert found[warned].warns, str(found[warned])


def test_other_languages_are_left_out_of_what_needs_words() -> None:
    found = texts(lambda said: replace(said, language="de", text=f"{said.text} please wonderful"))
    assert found["polite_when_informal"].figure is None is found["pleased_when_displeased"].figure
    assert found["texts_alike"].figure is not None


def test_tone() -> None:
    assert tone("I love it, perfect") == 1 and tone("it doesn't work, why") == -1
    assert tone("the lamp is brass") == 0 == tone("great, and then it crashed")
