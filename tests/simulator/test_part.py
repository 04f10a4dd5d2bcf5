"""A run whose users are played by two: one population, one order of messages, and who plays whom is for life."""

from __future__ import annotations

import json

import numpy as np
import pytest

from personas.population import DAY_MS, Population
from personas.provenance import RunIdentity, TutorIdentity
from personas.randomness import U64
from simulator.choice import LEFT, BehaviourChooser, Choices, Chooser
from simulator.part import are_tutored
from simulator.partitioner import Shard
from simulator.pool import Pool
from simulator.producer import MemoryProducer
from simulator.simulation import Simulation
from simulator.world import I64, World
from tests.runs import identity_of, pack_of, simulation_of

TUTOR = TutorIdentity(share=0.3, model="fake", prompts="0")
OTHERS = {"share": 0.2, "model": "other", "prompts": "1", "mode": "plan", "exact": False}
DAYS = 8


class Agent(BehaviourChooser):
    """Draws from tables like everybody, and ends visits like an agent."""

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        choices = super().choose(pool, situation, key)
        choices.outcome = np.where(choices.event == self.world.legal.shape[1] - 1, LEFT, 0)
        return choices


def agents(population: Population, world: World, fallback: BehaviourChooser) -> Chooser:
    return Agent(population, world, fallback.behaviour)


def mixed(identity: RunIdentity, shard: str = "0/1") -> MemoryProducer:
    producer = MemoryProducer()
    Simulation(
        pack_of("shop"), identity, Shard.parse(shard, 4), producer, agents=agents if identity.tutor else None
    ).advance(DAYS * DAY_MS)
    return producer


def told(producer: MemoryProducer, topic: str) -> list[dict[str, object]]:
    return [json.loads(one.value) for one in producer.records if one.topic == f"dayone.shop.{topic}"]


@pytest.fixture(scope="module")
def identity() -> RunIdentity:
    return identity_of("shop", users=200).model_copy(update={"tutor": TUTOR})


def test_users_of_agents_say_so_and_stand_in_one_order(identity: RunIdentity) -> None:
    producer = mixed(identity)
    events = told(producer, "events")
    by_user: dict[object, set[object]] = {}
    for event in events:
        by_user.setdefault(event["subject"], set()).add(event["generator"])
    assert all(len(generators) == 1 for generators in by_user.values()), "a user is tutored or not, for life"
    tutored = sum(generators == {"tutor"} for generators in by_user.values())
    assert 0.2 < tutored / len(by_user) < 0.4
    times = [str(event["time"]) for event in events]
    assert times == sorted(times) and {event["runid"] for event in events} == {identity.run_id}
    for topic in ("sessions", "labels", "users"):
        for one in told(producer, topic):
            assert by_user.get(one["subject"], {one["generator"]}) == {one["generator"]}
    labels = [one for one in told(producer, "labels") if one["type"] == "dayone.label.session"]
    assert all(("outcome" in one["data"]) == (one["generator"] == "tutor") for one in labels)  # type: ignore[operator]


def test_who_plays_whom_changes_nothing_when_both_play_alike(identity: RunIdentity) -> None:
    """All users are played as they are without agents: nobody is lost, nobody met twice, no number drawn anew."""
    plain, split = mixed(identity.model_copy(update={"tutor": None})), mixed(identity)
    for topic in ("events", "sessions", "users"):
        ours, theirs = (
            [(one["type"], one["time"], len(str(one["data"]))) for one in told(producer, topic)]
            for producer in (plain, split)
        )
        assert ours == theirs, topic


def test_shards_of_a_mixed_run_are_its_parts(identity: RunIdentity) -> None:
    whole = sorted(one.value for one in mixed(identity).records)
    assert sorted(one.value for shard in ("0/2", "1/2") for one in mixed(identity, shard).records) == whole


def test_a_larger_share_has_the_same_agents_and_more() -> None:
    population = simulation_of("shop", users=500).population
    few, many = are_tutored(population, 1, 0.1), are_tutored(population, 1, 0.4)
    assert 20 < few.sum() < 90 and (many[few]).all() and 130 < many.sum() < 270
    assert not are_tutored(population, 1, 0.0).any() and are_tutored(population, 1, 1.0).all()
    assert (are_tutored(population, 2, 0.1) != few).any()


def test_runs_without_a_tutor_have_the_names_that_they_had() -> None:
    identity = identity_of("shop", users=20_000, seed=1)
    assert set(identity.model_dump()) & {"tutor", "student"} == set()
    changed = {identity.run_id} | {
        identity.model_copy(update=more).run_id
        for more in (
            {"student": "a"}, {"student": "b"}, {"tutor": TUTOR},
            *({"tutor": TUTOR.model_copy(update={name: value})} for name, value in OTHERS.items()),
        )
    }  # fmt: skip
    assert len(changed) == 9
    assert RunIdentity.model_validate_json(identity.model_dump_json()) == identity
    tutored = identity.model_copy(update={"tutor": TUTOR})
    assert RunIdentity.model_validate_json(tutored.model_dump_json()) == tutored
