"""The sink on the embedded broker: what it does on every Kafka, and what only this broker has in store for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from personas.connection import KafkaConnection
from personas.errors import BrokerError
from personas.topics import RUNS
from simulator.broker import EmbeddedBroker, free_port
from sinks.subscriber import KafkaSource
from tests.contracts.sink_on_kafka import SinkOnKafka, count_events, finish, line_with, make_topics, produce, start
from tests.nursery import Starter
from tests.sinks.making import EVENTS, events, manifest

pytestmark = pytest.mark.kafka


class TestOnTheEmbeddedBroker(SinkOnKafka):
    @pytest.fixture
    def broker(self) -> Iterator[EmbeddedBroker]:
        with EmbeddedBroker() as running:
            yield running


def test_a_broker_that_dies_and_comes_back_empty_is_followed(forked: Starter, tmp_path: Path) -> None:
    store, port = tmp_path / "a.duckdb", free_port("127.0.0.1")
    with EmbeddedBroker(port) as broker:
        make_topics(broker)
        sink = start(forked, broker, store, "--until-completed")
        line_with(sink, "reading")
        produce(broker, EVENTS, events(100))
        produce(broker, RUNS, [manifest("started")])
        time.sleep(0.5)
    line_with(sink, "Waiting for it to come back")
    with EmbeddedBroker(port) as broker:
        make_topics(broker)
        produce(broker, EVENTS, events(300))
        produce(broker, RUNS, [manifest()])
        code, errors = finish(sink)
    assert (code, count_events(store)) == (0, 300), errors


def test_an_absent_broker_is_said_with_its_address(forked: Starter, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    code, errors = finish(start(forked, address, tmp_path / "a.duckdb", "--connect-seconds", "0.5"))
    assert code == 4
    assert address in errors and "no answer from Kafka" in errors
    assert "Traceback" not in errors


def test_describe_names_the_address_of_an_absent_broker() -> None:
    address = f"127.0.0.1:{free_port('127.0.0.1')}"

    async def play() -> None:
        source = KafkaSource(KafkaConnection(bootstrap_servers=address), [EVENTS], "g")
        try:
            await source.describe(0.2)
        finally:
            await source.close()

    with pytest.raises(BrokerError, match=address):
        asyncio.run(play())
