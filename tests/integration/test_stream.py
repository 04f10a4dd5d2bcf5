"""Simulator, broker and sink as processes of their own: killed as reality does it, cut into shards, the same set."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.program import (
    EVENTS,
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

pytestmark = pytest.mark.kafka
USERS, DAYS = 300, 20
RUN = ("shop", "--users", USERS, "--days", DAYS)


def stored(port: int) -> float:
    """Events that a sink has committed."""
    return metrics(port).get('dayone_sink_rows_total{table="events"}', 0.0)


def test_a_sink_killed_in_the_middle_is_followed_by_one_that_completes_the_set(dayone: Starter, tmp_path: Path) -> None:
    """With `dayone broker` too, so that all three commands are seen to work together."""
    wanted, store, broker_port, port = expected(USERS, DAYS), tmp_path / "run.duckdb", free_port(), free_port()
    broker = dayone("broker", "--port", broker_port)
    until(lambda: "DAYONE_KAFKA_BOOTSTRAP_SERVERS" in broker.err, broker)
    servers = f"127.0.0.1:{broker_port}"
    assert broker.out.strip() == servers
    simulator = dayone("simulate", *RUN, "--bootstrap-servers", servers, "--metrics-port", 0, "--batch-events", 500)
    command = ("sink", "shop", "--store", store, "--bootstrap-servers", servers, "--until-completed")
    first = dayone(*command, "--metrics-port", port, "--batch-rows", 500)
    until(lambda: stored(port) > 0, first)
    first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert 0 < len(of_store(store)["events"]) < len(wanted["events"]), "it was to be killed in the middle"

    second = dayone(*command, "--metrics-port", 0)
    assert simulator.wait() == 0, simulator.err
    assert second.wait() == 0, second.err
    assert_same(of_store(store), wanted)
    broker.signal(signal.SIGTERM)
    assert broker.wait() in (0, 130)


def test_a_simulator_killed_in_the_middle_goes_on_where_the_topics_end(dayone: Starter, servers: str) -> None:
    wanted, port = expected(USERS, DAYS), free_port()
    command = ("simulate", *RUN, "--bootstrap-servers", servers)
    first = dayone(*command, "--metrics-port", port, "--batch-events", 100)
    until(lambda: sent(port) > 0 and len(read_topic(servers, EVENTS, 4)) > 0, first)  # handed over is not yet sent
    first.signal(signal.SIGKILL)
    first.wait()
    before = len(read_topic(servers, EVENTS, 4))
    assert 0 < before < len(wanted["events"]), "it was to be killed in the middle"

    second = dayone(*command, "--metrics-port", 0)
    assert second.wait() == 0, second.err
    assert f"{len(wanted['events']) - before:,} events sent (went on from" in second.out
    assert_same(of_messages(of_topics(servers)), wanted)
    assert len(read_topic(servers, EVENTS, 4)) == len(wanted["events"]), "nothing is on the topic twice"


@pytest.mark.parametrize("shards", [2, 4])
def test_shards_together_are_the_whole_run(shards: int, dayone: Starter, servers: str, tmp_path: Path) -> None:
    wanted, store = expected(USERS, DAYS), tmp_path / "run.duckdb"
    sink = dayone("sink", "shop", "--store", store, "--bootstrap-servers", servers, "--until-completed",
                  "--metrics-port", 0)  # fmt: skip
    parts = [
        dayone("simulate", *RUN, "--bootstrap-servers", servers, "--metrics-port", 0, "--shard", f"{number}/{shards}")
        for number in range(shards)
    ]
    for part in parts:
        assert part.wait() == 0, part.err
    assert sink.wait() == 0, sink.err
    assert_same(of_store(store), wanted)
    assert len(read_topic(servers, EVENTS, 4)) == len(wanted["events"]), "no shard plays a user of another"
