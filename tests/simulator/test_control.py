"""Steering: each command against each state, and the way there and back over FastStream and a real broker."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personas.connection import KafkaConnection
from personas.errors import BrokerError, ControlError
from personas.topics import CONTROL, CONTROL_REPLIES, shared_topics
from simulator import control
from simulator.broker import EmbeddedBroker
from simulator.control import control_broker, listening, send_command
from simulator.steering import (
    Command,
    Pause,
    Reply,
    Resume,
    SetArrivalRate,
    SetProblemRate,
    Steering,
    SteeringState,
    Stop,
    answer,
    parse_command,
)
from simulator.topic_admin import provision

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def reply(steering: Steering, command: Command) -> Reply:
    answered = steering.apply(command)
    assert answered is not None
    return answered


# The state


def test_pause_and_resume() -> None:
    steering = Steering("run")
    assert reply(steering, Pause(id="7")) == Reply(
        id="7", run_id="run", command="pause", accepted=True, state=SteeringState(paused=True)
    )
    assert steering.paused
    assert reply(steering, Pause()).reason == "the run is paused already"
    assert reply(steering, Resume()).accepted
    assert not steering.paused
    refused = reply(steering, Resume())
    assert (refused.accepted, refused.reason) == (False, "the run is not paused")


def test_stop_ends_a_pause_and_everything_after_it() -> None:
    steering = Steering("run")
    reply(steering, Pause())
    assert reply(steering, Stop()).accepted
    assert steering.stopped
    assert not steering.paused
    assert reply(steering, Stop()).reason == "the run is stopping already"
    assert reply(steering, SetArrivalRate(value=2)).reason == "the run is stopping"
    assert steering.arrival_rate == 1


def test_rates() -> None:
    steering = Steering("run", problem_rate=10)
    assert reply(steering, SetArrivalRate(value=2.5)).state.arrival_rate == 2.5
    assert reply(steering, SetProblemRate(value=0)).state.problem_rate == 0
    assert (steering.arrival_rate, steering.problem_rate) == (2.5, 0)


def test_commands_for_other_runs_are_ignored() -> None:
    steering = Steering("run")
    assert steering.apply(Pause(run_id="other")) is None
    assert not steering.paused
    assert reply(steering, Pause(run_id="run")).accepted


# What is a command


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "EOF"),
        (b"{", "Invalid JSON"),
        (b"\xff", "Invalid JSON"),
        (b"[]", "should be an object"),
        (b"{}", "command"),
        (b'{"command":"go"}', "expected tags: 'pause', 'resume', 'stop', 'set_arrival_rate', 'set_problem_rate'"),
        (b'{"command":"set_arrival_rate"}', "value: Field required"),
        (b'{"command":"set_arrival_rate","value":0}', "greater than 0"),
        (b'{"command":"set_arrival_rate","value":100.5}', "less than or equal to 100"),
        (b'{"command":"set_arrival_rate","value":"2"}', "valid number"),
        (b'{"command":"set_arrival_rate","value":true}', "valid number"),
        (b'{"command":"set_problem_rate","value":-1}', "greater than or equal to 0"),
        (b'{"command":"set_problem_rate","value":1001}', "less than or equal to 1000"),
        (b'{"command":"set_problem_rate","value":NaN}', "set_problem_rate.value"),
        (b'{"command":"pause","value":1}', "pause.value: Extra inputs"),
    ],
)
def test_what_is_no_command_is_refused_with_the_reason(payload: bytes, words: str) -> None:
    with pytest.raises(ControlError, match="not a valid steering command") as caught:
        parse_command(payload)
    assert words in caught.value.message
    refused = answer(payload, Steering("run"))
    assert refused is not None
    assert not refused.accepted
    assert words in refused.reason


def test_refusal_names_the_message_it_refuses() -> None:
    steering = Steering("run")
    refused = answer(b'{"id":"7","command":"set_arrival_rate","value":-1}', steering)
    assert refused is not None
    assert (refused.id, refused.command) == ("7", "set_arrival_rate")
    assert answer(b'{"run_id":"other","command":"nonsense"}', steering) is None


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode))
def test_any_bytes_get_an_answer_and_change_nothing(payload: bytes) -> None:
    steering = Steering("run")
    answered = answer(payload, steering)
    assert answered is not None
    assert not answered.accepted
    assert steering.state == SteeringState()


@pytest.mark.parametrize(
    "command",
    [Pause(id="1"), Resume(), Stop(run_id="r"), SetArrivalRate(value=100), SetProblemRate(value=0)],
)
def test_commands_survive_the_wire(command: Command) -> None:
    assert parse_command(command.model_dump_json().encode()) == command


# FastStream without a broker


def test_over_faststream_in_memory() -> None:
    from faststream.confluent import TestKafkaBroker

    steering = Steering("run")
    replies: list[dict[str, Any]] = []

    async def exchange() -> None:
        broker = control_broker(KafkaConnection(bootstrap_servers="nowhere:9092"), steering, {0: 0})

        @broker.subscriber(CONTROL_REPLIES)
        async def collect(body: dict[str, Any]) -> None:
            replies.append(body)

        async with TestKafkaBroker(broker):
            await broker.publish(b'{"command":"pause","id":"1"}', CONTROL)
            await broker.publish(b"nonsense", CONTROL)
            await broker.publish(Pause(run_id="other"), CONTROL)
            await broker.publish(b"", CONTROL)

    asyncio.run(exchange())
    assert [(r["id"], r["run_id"], r["accepted"]) for r in replies] == [
        ("1", "run", True),
        ("", "run", False),
        ("", "run", False),
    ]
    assert steering.paused


# A real broker


@pytest.fixture
def own_broker() -> Any:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.mark.kafka
def test_over_a_broker(own_broker: EmbeddedBroker, caplog: Any, capfd: Any) -> None:
    connection = own_broker.connection
    caplog.set_level(logging.INFO)
    threads = threading.active_count()
    assert send_command(connection, Stop(), timeout=0.5) == [], "nobody listens yet"
    one, two = Steering("one"), Steering("two")
    with listening(connection, one), listening(connection, two):
        both = send_command(connection, SetProblemRate(value=5), timeout=60)
        assert {(r.run_id, r.accepted) for r in both} == {("one", True), ("two", True)}
        assert [r.run_id for r in send_command(connection, Pause(run_id="two"), timeout=60)] == ["two"]
        refused = send_command(connection, Resume(run_id="one"), timeout=60)
        assert [(r.accepted, r.reason) for r in refused] == [(False, "the run is not paused")]
    assert one.state == SteeringState(problem_rate=5), "the stop before it listened has no effect"
    assert two.state == SteeringState(problem_rate=5, paused=True)
    assert until(lambda: threading.active_count() <= threads)
    assert caplog.records == []
    assert capfd.readouterr().err == ""


@pytest.mark.kafka
def test_nothing_written_to_the_topic_ends_the_listening(own_broker: EmbeddedBroker, caplog: Any) -> None:
    from confluent_kafka import Producer

    connection = own_broker.connection
    steering = Steering("run")
    with listening(connection, steering):
        producer = Producer({**connection.client_options(), "log_level": 0})
        headers = [("content-type", b"application/\xff")]
        for value in (b"{", b"\xff\xfe", None, b"x" * 900_000, b'{"command":"stop","run_id":1}'):
            producer.produce(CONTROL, value, headers=headers)
        producer.produce(CONTROL, json.dumps({"command": "pause"}).encode(), headers=headers)
        assert producer.flush(10) == 0
        assert until(lambda: steering.paused)
        accepted = send_command(connection, Resume(run_id="run"), timeout=60)
        assert [r.accepted for r in accepted] == [True]
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.kafka
def test_listener_ends_while_the_broker_is_away(own_broker: EmbeddedBroker) -> None:
    with listening(own_broker.connection, Steering("run")):
        own_broker.stop()
        started = time.monotonic()
    assert time.monotonic() - started < 20


def test_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CONNECT_TIMEOUT", 0.2)
    connection = KafkaConnection(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(BrokerError, match="No Kafka broker answers"), listening(connection, Steering("run")):
        raise AssertionError("must not get here")
    with pytest.raises(BrokerError, match="No Kafka broker answers"):
        send_command(connection, Stop())


@pytest.mark.kafka
def test_control_topic_of_several_partitions(own_broker: EmbeddedBroker) -> None:
    """Somebody may have made the topics with other numbers: that is reported, as for all topics."""
    from dataclasses import replace

    provision(own_broker.connection, [replace(spec, partitions=2) for spec in shared_topics()])
    with pytest.raises(BrokerError, match=f"topic {CONTROL}: found 2 partitions, expected 1"):
        send_command(own_broker.connection, Stop(), timeout=1)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
