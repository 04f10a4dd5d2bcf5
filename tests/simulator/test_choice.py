"""The seam of choosing: who is handed in decides, is held to the world's rules, and is told of sessions."""

from __future__ import annotations

import numpy as np
import pytest

from personas.population import DAY_MS
from personas.randomness import U64
from simulator.arrivals import Arrivals
from simulator.choice import AGENT_ERROR, LEFT, BehaviourChooser, Choices, may_choose
from simulator.engine import Engine, Played
from simulator.part import Part
from simulator.pool import Pool
from simulator.world import I64
from tests.runs import PACKS, course, simulation_of


def engine_with(name: str, kind: type[BehaviourChooser], users: int = 300) -> Engine:
    """An engine whose users are played by a chooser of this kind."""
    simulation = simulation_of(name, users=users)
    one, arrivals = simulation.engine, Arrivals(simulation.pack, simulation.identity.start)
    chooser = kind(one.population, one.world, one.behaviour)
    return Engine(one.population, one.world, one.behaviour, one.effects.rankings, arrivals, chooser)


class Noting(BehaviourChooser):
    """Draws like the Behaviour, and says everything itself."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.open: set[int] = set()
        self.begun = self.finished = 0

    def begin(self, pool: Pool, rows: I64) -> None:
        users = set(pool.user[rows].tolist())
        assert not users & self.open and (pool.events[rows] == 0).all()
        self.open |= users
        self.begun += len(rows)

    def finish(self, pool: Pool, rows: I64) -> None:
        users = set(pool.user[rows].tolist())
        assert users <= self.open and (pool.events[rows] > 0).all()
        self.open -= users
        self.finished += len(rows)

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        choices = Choices.blank(len(pool))
        choices.event = super().choose(pool, situation, key).event
        choices.place[:] = 0
        choices.category[:] = 1
        choices.dwell_ms[:] = 5_000
        choices.words[:] = ['a "word"' if events % 2 else None for events in pool.events.tolist()]
        choices.outcome[choices.event == choices.event.max()] = LEFT
        return choices


def test_who_chooses_also_chooses_the_item_the_category_the_stay_and_the_words() -> None:
    engine = engine_with("shop", Noting)
    played = engine.play(3 * DAY_MS)
    chooser = engine.chooser
    assert isinstance(chooser, Noting)
    assert chooser.begun == chooser.finished == len(played.sessions["user"]) > 50 and not chooser.open
    events = played.events
    assert set(events["position"].tolist()) == {0, 1}, "the first place, whenever one is taken"
    drawing = np.isin(events["event"], np.flatnonzero(engine.world.category == 1))
    assert drawing.any() and (events["category"][drawing] == 1).all()
    order = np.lexsort((events["sequence"], events["session"], events["user"]))
    follows = (np.diff(events["user"][order]) == 0) & (np.diff(events["session"][order]) == 0)
    gap = np.diff(events["time"][order])[follows]
    assert (gap == 5_000 + events["load_ms"][order][:-1][follows]).all()
    assert played.words and all(sequence % 2 for *_, sequence in played.words)


def test_words_stand_in_the_message() -> None:
    simulation = simulation_of("shop", users=300)
    simulation.parts = (Part(engine_with("shop", Noting), simulation.encoder),)
    simulation.advance(3 * DAY_MS)
    searched = [r.value for r in simulation.producer.records if b'"type":"products_searched"' in r.value]  # type: ignore[attr-defined]
    own = [b'"query":"a \\"word\\""' in value for value in searched]
    assert any(own) and not all(own)


class Failing(BehaviourChooser):
    """Gives up at the third event of each session."""

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        choices = super().choose(pool, situation, key)
        choices.outcome = np.where(pool.events == 2, AGENT_ERROR, 0)
        return choices


def test_a_session_ends_where_its_chooser_fails() -> None:
    sessions = engine_with("desk", Failing).play(5 * DAY_MS).sessions
    failed = sessions["outcome"] == AGENT_ERROR
    assert failed.any() and not failed.all()
    assert sessions["events"].max() <= 3 and (sessions["outcome"][~failed] == 0).all()


class Stubborn(BehaviourChooser):
    """Wants the same event everywhere."""

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        return Choices(np.full(len(pool), self.world.conversion))


class Leaving(BehaviourChooser):
    """Leaves before anything has happened."""

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        return Choices(np.full(len(pool), self.world.legal.shape[1] - 1))


class Grasping(BehaviourChooser):
    """Takes from a place that no slate has."""

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        choices = super().choose(pool, situation, key)
        choices.place = np.full(len(pool), 500)
        return choices


@pytest.mark.parametrize(
    ("kind", "words"),
    [(Stubborn, "order_completed on entry"), (Leaving, "leave on entry"), (Grasping, "place of the slate")],
)
def test_a_chooser_that_breaks_a_rule_is_found_out(kind: type[BehaviourChooser], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        engine_with("shop", kind).play(DAY_MS)


@pytest.mark.parametrize("name", PACKS)
def test_the_behaviour_handed_in_plays_as_when_it_is_not(name: str) -> None:
    whole, own = course(name, users=200, days=6).played, _played(name)
    for table in ("events", "sessions"):
        for column, values in getattr(whole, table).items():
            assert (values == getattr(own, table)[column]).all(), column


def _played(name: str) -> Played:
    return engine_with(name, BehaviourChooser, users=200).play(6 * DAY_MS)


@pytest.mark.parametrize("name", PACKS)
def test_what_may_be_chosen_is_what_the_behaviour_may_draw(name: str) -> None:
    engine = course(name, users=200, days=6).simulation.engine
    allowed = may_choose(engine.world)
    assert not (allowed & ~engine.world.legal).any()
    emitted = engine.world.problem_emits
    assert not allowed[:, emitted[emitted >= 0]].any(), "failures happen to users, nobody chooses them"
