"""`dayone up`: ends by itself with exactly the events of its seed, loses nothing when interrupted, and goes on."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.integration.program import (
    EVENTS,
    STOPS,
    ask,
    assert_same,
    expected,
    free_port,
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
#: Many small windows, so that there is a middle to interrupt; what is played does not depend on them.
SMALL_WINDOWS = {"DAYONE_SIMULATOR_BATCH_EVENTS": "500"}


def test_the_store_holds_exactly_the_events_of_the_seed_also_when_run_again(dayone: Starter, tmp_path: Path) -> None:
    wanted, store = expected(USERS, DAYS), tmp_path / "run.duckdb"
    first = dayone("up", *RUN, "--store", store, "--metrics-port", 0, "--json")
    assert first.wait() == 0, first.err
    done = json.loads(first.out)
    assert (done["state"], done["events"]) == ("completed", len(wanted["events"]))
    assert done["summary"]["events"] == done["events"]
    assert_same(of_store(store), wanted)

    again = dayone("up", *RUN, "--store", store, "--metrics-port", 0)
    assert again.wait() == 0, again.err
    assert_same(of_store(store), wanted)
    assert f"{len(wanted['events']):,} events" in again.out
    assert ask(store, "SELECT count(*) FROM dead_letters") == [(0,)]
    assert ask(store, "SELECT DISTINCT state FROM runs") == [("completed",)]


@pytest.mark.parametrize("number", STOPS)
def test_an_interruption_loses_nothing_and_the_same_command_goes_on(
    number: int, dayone: Starter, servers: str, tmp_path: Path
) -> None:
    wanted, store, port = expected(USERS, DAYS), tmp_path / "run.duckdb", free_port()
    command = ("up", *RUN, "--store", store, "--bootstrap-servers", servers)
    env = {**SMALL_WINDOWS, "DAYONE_SINK_METRICS_PORT": "0"}
    first = dayone(*command, "--metrics-port", port, env=env)
    until(lambda: sent(port) > len(wanted["events"]) / 10, first)
    first.signal(number)
    assert first.wait() == 130, first.err

    kept = of_store(store)
    on_topics = of_topics(servers)
    assert 0 < len(kept["events"]) < len(wanted["events"]), "the interruption was to come in the middle"
    assert_same(kept, of_messages(on_topics))

    second = dayone(*command, "--metrics-port", 0)
    assert second.wait() == 0, second.err
    assert_same(of_store(store), wanted)
    assert len(read_topic(servers, EVENTS, 4)) == len(wanted["events"]), "nothing is on the topic twice"


def test_an_interrupted_run_is_completed_on_a_new_broker(dayone: Starter, tmp_path: Path) -> None:
    """The embedded broker goes with the command, so the whole run is played again; the store takes what it lacks."""
    wanted, store, port = expected(USERS, DAYS), tmp_path / "run.duckdb", free_port()
    env = {**SMALL_WINDOWS, "DAYONE_SINK_METRICS_PORT": "0"}
    first = dayone("up", *RUN, "--store", store, "--metrics-port", port, env=env)
    until(lambda: sent(port) > len(wanted["events"]) / 10, first)
    first.signal(signal.SIGINT)
    assert first.wait() == 130, first.err
    assert 0 < len(of_store(store)["events"]) < len(wanted["events"])

    second = dayone("up", *RUN, "--store", store, "--metrics-port", 0)
    assert second.wait() == 0, second.err
    assert_same(of_store(store), wanted)


def test_nothing_is_left_behind_when_the_command_is_killed(dayone: Starter, tmp_path: Path) -> None:
    port = free_port()
    one = dayone("up", *RUN, "--live", "--store", tmp_path / "run.duckdb", "--metrics-port", port,
                 env={"DAYONE_SINK_METRICS_PORT": "0"})  # fmt: skip
    until(lambda: sent(port) > 0, one)
    family = one.family()
    assert len(family) >= 2, "a broker and a sink"
    one.signal(signal.SIGKILL)
    one.wait()
    try:
        until(lambda: not any(process.is_running() and process.status() != "zombie" for process in family))
    finally:
        for process in family:
            if process.is_running():
                process.kill()
