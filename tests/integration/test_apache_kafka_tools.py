"""Kafka's own programs as clients that are not ours: they read what we write, see our lag, and write what we refuse."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from personas.event import CONTENT_TYPE
from tests.apache_kafka import ApacheKafka
from tests.integration.program import EVENTS, PACK, Program, ask, expected, of_store, until
from tests.nursery import Starter

TOOLS = "org.apache.kafka.tools"
USERS, DAYS = 150, 3.0
GROUP = f"dayone-sink-{PACK}"


@pytest.fixture
def run(dayone: Starter, apache_kafka: ApacheKafka) -> Program:
    """A run on the topics, and no other."""
    apache_kafka.delete_topics()
    servers = apache_kafka.bootstrap_servers
    program = dayone("simulate", PACK, "--users", USERS, "--days", DAYS, "--bootstrap-servers", servers)
    assert program.wait() == 0, program.err
    return program


def test_consumers_read_every_event(run: Program, apache_kafka: ApacheKafka, tmp_path: Path) -> None:
    servers, wanted = apache_kafka.bootstrap_servers, expected(USERS, DAYS)["events"]
    reading = ("--bootstrap-server", servers, "--topic", EVENTS)
    printed = apache_kafka.tool(
        f"{TOOLS}.consumer.ConsoleConsumer", *reading, "--from-beginning", "--max-messages", len(wanted),
        "--formatter-property", "print.key=true", "--formatter-property", "print.headers=true",
    ).stdout  # fmt: skip
    lines = [line.split("\t") for line in printed.splitlines()]
    assert {headers for headers, _, _ in lines} == {f"content-type:{CONTENT_TYPE}"}
    assert {json.loads(value)["id"] for _, _, value in lines} == wanted.keys()
    assert all(json.loads(value)["subject"] == key for _, key, value in lines)

    verified = apache_kafka.tool(
        f"{TOOLS}.VerifiableConsumer", *reading, "--group-id", "team", "--max-messages", len(wanted),
        "--reset-policy", "earliest",
    ).stdout  # fmt: skip
    told = [json.loads(line) for line in verified.splitlines()]
    assert sum(each["count"] for each in told if each["name"] == "records_consumed") == len(wanted)
    assert {each["success"] for each in told if each["name"] == "offsets_committed"} == {True}


def lag_of(kafka: ApacheKafka, group: str) -> dict[int, tuple[int, int]]:
    """Offset and lag of each partition of the events, as kafka-consumer-groups shows them."""
    shown = kafka.tool(
        f"{TOOLS}.consumer.group.ConsumerGroupCommand", "--bootstrap-server", kafka.bootstrap_servers, "--describe",
        "--group", group,
    ).stdout  # fmt: skip
    found = re.findall(rf"^{group}\s+{EVENTS}\s+(\d+)\s+(\d+)\s+\d+\s+(\d+)", shown, re.MULTILINE)
    return {int(partition): (int(offset), int(lag)) for partition, offset, lag in found}


def test_lag_of_the_sink_and_rubbish_of_a_load_generator(
    run: Program, dayone: Starter, apache_kafka: ApacheKafka, tmp_path: Path
) -> None:
    servers, store, rubbish = apache_kafka.bootstrap_servers, tmp_path / "a.duckdb", 2000
    words = (PACK, "--store", store, "--bootstrap-servers", servers)
    first = dayone("sink", *words, "--until-completed")
    assert first.wait() == 0, first.err
    kept = lag_of(apache_kafka, GROUP)
    assert sum(offset for offset, _ in kept.values()) == len(expected(USERS, DAYS)["events"])
    assert {lag for _, lag in kept.values()} == {0}

    performance = apache_kafka.tool(
        f"{TOOLS}.ProducerPerformance", "--topic", EVENTS, "--num-records", rubbish, "--record-size", 100,
        "--throughput", -1, "--producer-props", f"bootstrap.servers={servers}",
    ).stdout  # fmt: skip
    assert f"{rubbish} records sent" in performance
    assert sum(lag for _, lag in lag_of(apache_kafka, GROUP).values()) == rubbish

    second = dayone("sink", *words)
    until(lambda: f"reading 21 partitions, {rubbish} messages behind" in second.err, second)
    second.signal(signal.SIGTERM)  # drains
    assert second.wait() == 0, second.err
    assert {lag for _, lag in lag_of(apache_kafka, GROUP).values()} == {0}
    assert ask(store, "SELECT reason, count(*) FROM dead_letters GROUP BY ALL") == [("not_json", rubbish)]
    letters = apache_kafka.tool(
        f"{TOOLS}.consumer.ConsoleConsumer", "--bootstrap-server", servers, "--topic", f"{EVENTS}.dlq",
        "--from-beginning", "--max-messages", rubbish, "--formatter-property", "print.headers=true",
    ).stdout  # fmt: skip
    assert letters.count(f"origin-topic:{EVENTS},") == rubbish
    assert of_store(store)["events"] == expected(USERS, DAYS)["events"]
