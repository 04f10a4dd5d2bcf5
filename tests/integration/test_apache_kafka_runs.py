"""Runs on Apache Kafka: four shards on twelve partitions, one that is steered and killed, two side by side."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from personas.pack import load_pack
from personas.provenance import RunIdentity, RunManifest
from personas.topics import RUNS, data_topics
from simulator.clock import WallClock
from simulator.daemon import steering_after
from simulator.partitioner import Shard
from simulator.producer import MemoryProducer
from simulator.resume import held_manifest
from simulator.run import Plan, Run
from simulator.simulation import Simulation
from simulator.tail import last_messages
from tests.apache_kafka import ApacheKafka
from tests.integration.program import (
    EVENTS,
    PACK,
    Rows,
    ask,
    assert_same,
    expected,
    free_port,
    metrics,
    of_messages,
    of_store,
    of_topics,
    read_topic,
    sent,
    until,
)
from tests.nursery import Starter

USERS, DAYS = 150, 5.0
SHARDS, PARTITIONS = 4, 12


@pytest.fixture
def kafka(apache_kafka: ApacheKafka) -> ApacheKafka:
    """The broker, with no topics on it."""
    apache_kafka.delete_topics()
    return apache_kafka


def test_four_shards_on_twelve_partitions_give_the_events_of_one(dayone: Starter, kafka: ApacheKafka) -> None:
    servers = kafka.bootstrap_servers
    words = ("simulate", PACK, "--users", USERS, "--days", DAYS, "--bootstrap-servers", servers)
    shards = [dayone(*words, "--partitions", PARTITIONS, "--shard", f"{n}/{SHARDS}") for n in range(SHARDS)]
    assert [shard.wait(120) for shard in shards] == [0] * SHARDS, shards[0].err
    found = of_messages(
        value for topic in data_topics(PACK) if topic != RUNS for value in read_topic(servers, topic, PARTITIONS)
    )
    assert_same(found, expected(USERS, DAYS))
    assert sum(int(shard.out.split(f"{EVENTS}: ")[1].split()[0].replace(",", "")) > 0 for shard in shards) == SHARDS


def identity() -> RunIdentity:
    """The run of the test of steering."""
    product, fingerprint = load_pack(PACK).product, load_pack(PACK).fingerprint
    return RunIdentity(
        product=product.name, product_version=product.version, pack_fingerprint=fingerprint, seed=1, users=100,
        start=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def replayed(manifest: RunManifest, days: float) -> Rows:
    """What a run gives that nobody disturbs, steered at the same virtual times."""
    producer, one = MemoryProducer(), identity()
    simulation = Simulation(load_pack(PACK), one, Shard(0, 1, 4), producer)
    steering = steering_after(one.run_id, manifest)
    run = Run(
        simulation, producer, Plan(days), clock=WallClock(), steering=steering, stop=threading.Event(), earlier=manifest
    )
    run.play()
    return of_messages(record.value for record in producer.records)


def test_a_steered_run_is_killed_and_goes_on_as_it_was_steered(dayone: Starter, kafka: ApacheKafka) -> None:
    servers, port, days = kafka.bootstrap_servers, free_port(), 40.0
    words = ("simulate", PACK, "--users", 100, "--bootstrap-servers", servers)
    first = dayone(*words, "--days", 1, "--live", "--speed", 5000, "--metrics-port", port)
    until(lambda: sent(port) > 0, first)
    steered = dayone("control", "problem-rate", 300, "--bootstrap-servers", servers)
    assert steered.wait() == 0, steered.err
    planted = "dayone_simulator_problems_planted_total"
    before = metrics(port)[planted]
    until(lambda: metrics(port)[planted] > before + 5, first)
    first.process.kill()
    first.process.wait()

    second = dayone(*words, "--days", days)
    assert second.wait(120) == 0, second.err
    assert "went on from" in second.out
    manifest = held_manifest(kafka.connection, identity(), Shard(0, 1, 4), last_messages)
    assert manifest is not None and manifest.state == "completed"
    assert [(change.command, change.value) for change in manifest.steering] == [("set_problem_rate", 300.0)]
    assert_same(of_messages(of_topics(servers)), replayed(manifest, days))


def test_two_runs_side_by_side_each_end_with_their_own(dayone: Starter, kafka: ApacheKafka, tmp_path: Path) -> None:
    """`dayone up` shares its topics with another run; its sink ends when its own run is stored, and has all of that."""
    programs = {}
    for seed in (1, 2):
        programs[seed] = dayone(
            "up", PACK, "--users", USERS, "--days", DAYS, "--seed", seed, "--store", tmp_path / f"{seed}.duckdb",
            "--bootstrap-servers", kafka.bootstrap_servers, "--metrics-port", 0,
        )  # fmt: skip
    for seed, program in programs.items():
        assert program.wait(120) == 0, program.err
        wanted, store = expected(USERS, DAYS, seed), tmp_path / f"{seed}.duckdb"
        found = of_store(store)
        assert_same({table: {k: v for k, v in found[table].items() if k in wanted[table]} for table in wanted}, wanted)
        assert f"{len(wanted['events']):,} events" in program.out
        assert ask(store, "SELECT count(*) FROM dead_letters") == [(0,)]
