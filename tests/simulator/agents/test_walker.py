"""Agents walk sessions: whatever a model answers, the world's rules hold, and every session ends with a reason."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest

from personas.errors import BudgetError, TutorError
from personas.population import DAY_MS
from simulator.agents.fakes import RandomModel
from simulator.agents.language import Request
from simulator.agents.walker import WalkRules
from simulator.choice import AGENT_ERROR, LEFT, OUTCOMES, STEPPED_DOWN, Interrupted
from sinks.legality import violations
from sinks.store import MEMORY, Store
from tests.runs import PACKS, pack_of, store_records
from tests.simulator.agents.brains import Brain, BrainModel, random_legal, silly
from tests.simulator.agents.walking import walking

DAYS = 12 * DAY_MS


def nonsense(request: Request) -> object:
    """Never anything that could be used."""
    return {"action": "dance", "item": "p-nowhere"}


def broken(request: Request) -> object:
    return TutorError("the service is away", kind="overloaded", scope="session")


BRAINS: dict[str, Brain] = {"random": random_legal, "silly": silly, "nonsense": nonsense, "broken": broken}


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("brain", BRAINS)
def test_whatever_a_model_answers_no_illegal_event_is_stored(pack: str, brain: str) -> None:
    model = BrainModel(BRAINS[brain])
    with walking(pack, model) as walk:
        walk.simulation.advance(DAYS)
        counts = walk.walker.counts
    store = Store.open(MEMORY)
    store_records(store, pack_of(pack), walk.simulation.producer.records)  # type: ignore[attr-defined]
    found = store.query("SELECT count(*) AS n, count(DISTINCT session_id) AS s FROM events").to_pylist()[0]
    assert found["n"] > found["s"] > 10 or brain in ("nonsense", "broken")
    assert violations(store.query, pack_of(pack).product, walk.simulation.identity.run_id) == []
    ended = sum(counts.outcomes.values())
    assert ended == found["s"] and set(counts.outcomes) <= set(OUTCOMES[1:])
    if brain in ("nonsense", "broken"):
        assert counts.outcomes["agent_error"] == ended, "three in a row end every session"
        assert model.calls == (3 if brain == "nonsense" else 1) * ended
    if brain == "nonsense":
        assert counts.refused == Counter(illegal_action=3 * ended)
    if brain == "broken":
        assert counts.errors == Counter(overloaded=ended)
    if brain == "silly":
        assert counts.refused["malformed"] and counts.refused["illegal_action"]
    if (pack, brain) == ("shop", "silly"):
        assert counts.refused["unknown_item"] and counts.refused["item_missing"]
    if brain == "random":
        assert not counts.refused and counts.outcomes["left"] > 0.5 * ended


@pytest.mark.parametrize("pack", PACKS)
def test_with_one_schema_for_all_questions_the_world_refuses_what_is_impossible(pack: str) -> None:
    model = RandomModel()
    with walking(pack, model, users=20, rules=WalkRules(exact=False)) as walk:
        walk.simulation.advance(DAYS)
        counts = walk.walker.counts
    store = Store.open(MEMORY)
    store_records(store, pack_of(pack), walk.simulation.producer.records)  # type: ignore[attr-defined]
    assert violations(store.query, pack_of(pack).product, walk.simulation.identity.run_id) == []
    assert counts.refused["illegal_action"] > counts.outcomes["agent_error"] > 0
    assert counts.questions == model.asked > 50


def test_sessions_are_the_same_twice_and_in_pieces() -> None:
    def walked(*until: int) -> list[bytes]:
        with walking("shop", BrainModel(silly)) as walk:
            for instant in until:
                walk.simulation.advance(instant)
            return [record.value for record in walk.simulation.producer.records]  # type: ignore[attr-defined]

    whole = walked(DAYS)
    assert len(whole) > 200
    assert sorted(walked(DAY_MS, 4 * DAY_MS, DAYS)) == sorted(whole)


def test_a_refusal_is_told_and_asked_again() -> None:
    def hasty(request: Request) -> object:
        return {"action": "order_completed"} if len(request.messages) == 1 else random_legal(request)

    model = BrainModel(hasty, keep=True)
    with walking("shop", model, users=10) as walk:
        walk.engine.play(DAYS)
        assert walk.walker.counts.outcomes["agent_error"] == 0
    again = next(request for request in model.requests if len(request.messages) == 3)
    assert again.messages[1].role == "assistant" and "order_completed" in again.messages[1].text
    assert "order_completed is not possible here" in again.messages[2].text
    assert len({request.sample for request in model.requests}) == len(model.requests), "no question is asked twice"


def test_what_is_answered_is_what_happens() -> None:
    def decided(request: Request) -> object:
        fields = request.answer_schema["properties"]
        if "product_viewed" in fields["action"]["enum"]:
            return {"action": "product_viewed", "item": fields["item"]["enum"][2], "dwell_seconds": 33}
        if "products_searched" in fields["action"]["enum"] and "leave" not in fields["action"]["enum"]:
            return {"action": "products_searched", "category": "tents", "words": "a “small” tent\n", "dwell_seconds": 4}
        return {"action": "leave"}

    with walking("shop", BrainModel(decided)) as walk:
        played = walk.engine.play(DAYS)
        world = walk.engine.world
    events, names = played.events, np.array(list(pack_of("shop").product.events))
    viewed = events["event"] == list(names).index("product_viewed")
    assert viewed.sum() > 10 and (events["position"][viewed] == 3).all()
    tents = pack_of("shop").catalog.categories.index("tents")
    assert (events["category"][~viewed] == tents).all() and (world.item_category[events["item"][viewed]] == tents).all()
    assert set(played.words.values()) == {"a “small” tent"} and len(played.words) == (~viewed).sum()
    assert (played.sessions["outcome"] == LEFT).mean() > 0.9


def test_money_that_is_used_up_ends_the_agents_and_not_the_run() -> None:
    calls = 0

    def poor(request: Request) -> object:
        nonlocal calls
        calls += 1
        return BudgetError("no money") if calls > 60 else random_legal(request)

    with walking("shop", BrainModel(poor)) as walk:
        sessions = walk.engine.play(DAYS).sessions
        counts = walk.walker.counts
    assert counts.questions == 60
    assert 0 < counts.stepped_down <= len(set(sessions["user"].tolist()))
    assert counts.stepped_down_at is not None and counts.stepped_down_at < DAYS
    later = sessions["outcome"] == 0
    assert later.any() and (sessions["outcome"] == STEPPED_DOWN).sum() == counts.outcomes["stepped_down"] > 0
    assert not (sessions["outcome"] == AGENT_ERROR).any()


def test_an_error_that_no_question_can_mend_ends_the_run() -> None:
    model = BrainModel(lambda request: TutorError("the key is wrong", kind="authentication", scope="tutor"))
    with walking("shop", model) as walk, pytest.raises(TutorError, match="key is wrong"):
        walk.engine.play(DAYS)


def test_a_walk_can_be_told_to_stop_in_the_middle() -> None:
    stop = threading.Event()

    def brain(request: Request) -> object:
        if model.calls == 40:
            stop.set()
        return random_legal(request)

    model = BrainModel(brain)
    with walking("shop", model, stopping=stop.is_set) as walk, pytest.raises(Interrupted):
        walk.engine.play(DAYS)
    assert model.calls == 40
