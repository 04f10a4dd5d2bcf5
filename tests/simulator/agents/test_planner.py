"""Plans: asked for with their probabilities, refused when they are the same, and played through the world's rules."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from personas.errors import BudgetError, TutorError
from personas.population import DAY_MS
from simulator.agents.asking import AgentCounts
from simulator.agents.batches import all_at_once
from simulator.agents.fakes import RandomModel, ScriptedModel
from simulator.agents.language import Answer, LanguageModel, Request
from simulator.agents.plan import Plan, different, read_plans, similarity
from simulator.agents.planner import PLANS_PER_CALL, Kind, kinds_of, make_plans, request_of
from simulator.agents.playing import PlanChooser
from simulator.arrivals import Arrivals
from simulator.choice import BehaviourChooser
from simulator.engine import Engine, Played
from simulator.part import Part
from sinks.legality import violations
from sinks.store import MEMORY, Store
from tests.runs import PACKS, pack_of, simulation_of, store_records
from tests.simulator.agents.test_prompts import as_text, same_as_golden

PLAN: dict[str, Any] = {
    "mood": "hurried", "path": ["products_searched", "product_viewed", "product_added", "leave"],
    "categories": ["tents"], "queries": ["two man tent", "tent small"], "picks": "cheapest", "price_limit": 150,
    "steps": 6, "leaves_once_done": True, "on_problem": "leave", "probability": 0.4,
}  # fmt: skip


def made(pack: str, model: LanguageModel) -> tuple[dict[Kind, list[Plan]], AgentCounts]:
    counts = AgentCounts()

    async def ask(requests: Sequence[Request]) -> Sequence[Answer | TutorError]:
        return await all_at_once(model.ask, requests)

    return asyncio.run(make_plans(pack_of(pack), "fake", ask, counts)), counts


def engine_of(pack: str, plans: dict[Kind, list[Plan]], users: int = 150) -> tuple[Engine, PlanChooser, Any]:
    simulation = simulation_of(pack, users=users)
    one, arrivals = simulation.engine, Arrivals(simulation.pack, simulation.identity.start)
    fallback = BehaviourChooser(one.population, one.world, one.behaviour)
    chooser = PlanChooser(one.population, one.world, fallback, AgentCounts())
    chooser.deal(plans)
    engine = Engine(one.population, one.world, one.behaviour, one.effects.rankings, arrivals, chooser)
    simulation.parts = (Part(engine, simulation.encoder),)
    return engine, chooser, simulation


def everywhere(plan: Plan) -> dict[Kind, list[Plan]]:
    return {kind: [plan] for kind in kinds_of(pack_of("shop"))}


def names_of(played: Played, session: int) -> list[str]:
    """The events of one played session, in order."""
    names, events = list(pack_of("shop").product.events), played.events
    user, number = (played.sessions[name][session] for name in ("user", "session"))
    mine = np.flatnonzero((events["user"] == user) & (events["session"] == number))
    return [names[events["event"][row]] for row in mine[np.argsort(events["sequence"][mine])]]


@pytest.mark.parametrize("pack", PACKS)
def test_whatever_is_planned_no_illegal_event_is_stored(pack: str) -> None:
    plans, counts = made(pack, RandomModel())
    assert counts.plans > 3 * len(plans) and counts.questions >= len(plans)
    _, chooser, simulation = engine_of(pack, plans)
    simulation.advance(15 * DAY_MS)
    store = Store.open(MEMORY)
    store_records(store, pack_of(pack), simulation.producer.records)
    assert violations(store.query, pack_of(pack).product, simulation.identity.run_id) == []
    assert chooser.counts.outcomes["left"] > 30 and set(chooser.counts.outcomes) <= {"left", "problem", "step_bound"}


def test_a_plan_is_what_is_played() -> None:
    engine, _, _ = engine_of("shop", everywhere(Plan.model_validate(PLAN)))
    played = engine.play(20 * DAY_MS)
    events, pack = played.events, pack_of("shop")
    begun = [names_of(played, number)[:2] for number in range(len(played.sessions["user"]))]
    assert sum("products_searched" in first for first in begun) > 0.8 * len(begun) > 50
    assert set(played.words.values()) == {"two man tent", "tent small"}
    viewed = np.flatnonzero(events["event"] == list(pack.product.events).index("product_viewed"))
    prices = np.array([item.price for item in pack.catalog.items])
    tents = list(pack.catalog.categories).index("tents")
    of_tents = viewed[engine.world.item_category[events["item"][viewed]] == tents]
    assert len(of_tents) > 0.8 * len(viewed) > 50
    usual = np.median(prices[engine.world.item_category == tents])
    assert np.median(prices[events["item"][of_tents]]) < usual, "the cheapest of those shown"
    assert played.sessions["events"].mean() < 9, "it says when it ends"
    calm = everywhere(Plan.model_validate(PLAN | {"path": ["home_viewed"] * 12, "steps": 60, "mood": "curious"}))
    assert engine_of("shop", calm)[0].play(20 * DAY_MS).sessions["events"].mean() > played.sessions["events"].mean()


def test_plans_are_played_the_same_in_pieces() -> None:
    plans, _ = made("shop", RandomModel())

    def values(*until: int) -> list[bytes]:
        _, _, simulation = engine_of("shop", plans, users=60)
        for instant in until:
            simulation.advance(instant)
        return sorted(one.value for one in simulation.producer.records)

    assert values(10 * DAY_MS) == values(DAY_MS, 4 * DAY_MS, 10 * DAY_MS)


def test_kinds_without_plans_are_played_from_tables() -> None:
    kinds = kinds_of(pack_of("shop"))
    engine, chooser, _ = engine_of("shop", {kind: [] for kind in kinds})
    played = engine.play(10 * DAY_MS)
    plain = simulation_of("shop", users=150).engine.play(10 * DAY_MS)
    assert all((played.events[name] == plain.events[name]).all() for name in plain.events)
    assert (played.sessions["outcome"] == 0).all() and set(chooser.counts.outcomes) == {""}


def test_the_same_in_other_words_is_refused() -> None:
    one = Plan.model_validate(PLAN)
    other_words = Plan.model_validate(PLAN | {"queries": ["tent"], "probability": 0.1, "steps": 9})
    other_way = Plan.model_validate(PLAN | {"path": ["home_viewed", "leave"], "picks": "any", "mood": "calm"})
    assert similarity(one, other_words) == 1.0 and similarity(one, other_way) < 0.5
    assert different([one, other_words, other_way], []) == [one, other_way]
    assert different([other_words], [one]) == []


def test_a_batch_of_the_same_plans_is_asked_for_again_and_counted() -> None:
    model = ScriptedModel(lambda request: {"plans": [PLAN] * PLANS_PER_CALL})
    plans, counts = made("shop", model)
    assert all(len(known) == 1 for known in plans.values())
    assert len(model.requests) == 2 * len(plans) and counts.duplicate_plans == (2 * PLANS_PER_CALL - 1) * len(plans)
    again = model.requests[-1]
    assert "products_searched, product_viewed, product_added, leave" in again.messages[0].text
    assert f"Write {PLANS_PER_CALL - 1} plans." in again.messages[0].text


def test_what_is_no_plan_is_left_out() -> None:
    product = pack_of("shop").product
    odd = [
        PLAN | {"path": []}, PLAN | {"mood": "blue"}, PLAN | {"probability": "high"}, "a plan", None, {},
        PLAN | {"price_limit": float("inf")}, PLAN | {"path": ["payment_failed", "unheard_of"]},
        PLAN | {"path": ["unheard_of", "home_viewed"]},
    ]  # fmt: skip
    found, invalid = read_plans({"plans": [*odd, PLAN]}, product)
    assert [plan.path for plan in found] == [("home_viewed",), tuple(PLAN["path"])] and invalid == len(odd) - 1
    assert read_plans([], product) == ([], 1) and read_plans({"plans": 3}, product) == ([], 1)


def test_money_that_is_used_up_leaves_the_rest_without_plans() -> None:
    def poor(request: Request) -> Any:
        plans = {"plans": [PLAN, PLAN | {"path": ["home_viewed"]}]}
        return BudgetError("no money") if len(model.requests) > 5 else plans

    model = ScriptedModel(poor)
    plans, counts = made("shop", model)
    assert sum(bool(known) for known in plans.values()) == 5 and counts.errors["budget"] > 0


def test_who_cannot_be_asked_at_all_ends_it() -> None:
    with pytest.raises(TutorError, match="no key"):
        made("shop", ScriptedModel(lambda request: TutorError("no key", kind="authentication", scope="tutor")))


def test_the_plan_prompt_word_for_word() -> None:
    pack = pack_of("shop")
    request = request_of(pack, "fake", kinds_of(pack)[5], [Plan.model_validate(PLAN)], 1)
    assert request.prompt == "plan.1" and request.purpose == "plan" and request.schema_name == "plans"
    same_as_golden("plan", as_text(request))
