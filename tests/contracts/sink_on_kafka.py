"""What the sink does on every Kafka: as a process of its own it starts, drains, is killed, resumes, sends dead letters.

Inherit `SinkOnKafka` and give the fixture `broker`, which has no topics of the product yet.
"""

from __future__ import annotations

import asyncio
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any, Protocol

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from personas.connection import KafkaConnection
from personas.topics import RUNS, product_topics
from simulator.topic_admin import provision
from sinks.batch import Messages
from sinks.source import Handler
from sinks.store import Store
from sinks.subscriber import KafkaSource, client_logger
from tests.integration.program import Program, until
from tests.nursery import Starter
from tests.sinks.making import EVENTS, PRODUCT, Record, events, everything, manifest

#: The module of the program that is started.
TINY = ("tests.sinks.tiny_program",)


class Broker(Protocol):
    """What runs the topics: EmbeddedBroker, ApacheKafka."""

    @property
    def bootstrap_servers(self) -> str: ...

    @property
    def connection(self) -> KafkaConnection: ...


def make_topics(broker: Broker, partitions: int = 2) -> None:
    provision(broker.connection, product_topics(PRODUCT, partitions))


def produce(broker: Broker, topic: str, records: list[Record]) -> None:
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap_servers, "message.max.bytes": 20_000_000}, logger=client_logger()
    )
    for place, (key, value) in enumerate(records):
        producer.produce(topic, value, key)
        if place % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(20) == 0


def start(forked: Starter, broker: Broker | str, store: Path, *options: str) -> Program:
    servers = broker if isinstance(broker, str) else broker.bootstrap_servers
    words = ("sink", PRODUCT, "--store", store, "--bootstrap-servers", servers, *options)
    return forked(*words, module=TINY, env={"DAYONE_SINK_BATCH_SECONDS": "0.2"})


def finish(program: Program) -> tuple[int, str]:
    return program.wait(), program.err


def line_with(program: Program, text: str) -> str:
    """The first line of what it has said in which this stands, as soon as there is one."""
    return str(until(lambda: next((line for line in program.err.splitlines() if text in line), ""), program))


def rows(store: Path, sql: str) -> list[dict[str, Any]]:
    with Store.open(store, read_only=True) as database:
        return list(database.query(sql).to_pylist())


def count_events(store: Path) -> int:
    return int(rows(store, "SELECT count(*) AS n FROM events")[0]["n"])


class SinkOnKafka:
    """The suite."""

    def test_everything_from_topics_to_tables(self, forked: Starter, broker: Broker, tmp_path: Path) -> None:
        store = tmp_path / "a.duckdb"
        sink = start(forked, broker, store, "--until-completed")
        line_with(sink, "waiting for topics")
        make_topics(broker)
        for topic, records in everything(500):
            produce(broker, topic, records)
        huge = b'{"x":"' + b"y" * 10_000_000 + b'"}'
        produce(broker, EVENTS, [(b"k", b"not json"), (b"k", b"\xff\xfe"), (b"k", huge), *events(2004)[2000:]])
        produce(broker, RUNS, [manifest()])
        code, errors = finish(sink)
        assert code == 0, errors
        assert "2,004 events" in errors and "3 dead letters" in errors
        found = rows(store, "SELECT reason, value_bytes FROM dead_letters ORDER BY reason")
        assert [row["reason"] for row in found] == ["not_json", "not_utf8", "too_large"]
        assert found[2]["value_bytes"] == len(huge)
        options = {"bootstrap.servers": broker.bootstrap_servers, "group.id": f"dayone-sink-{PRODUCT}"}
        consumer = Consumer(options, logger=client_logger())
        consumer.assign([TopicPartition(f"{EVENTS}.dlq", 0, 0)])
        letters: list[Any] = []
        until(lambda: letters.extend(consumer.consume(10, 0.2)) or len(letters) >= 3)
        by_reason = {dict(letter.headers())["reason"].decode(): letter for letter in letters}
        assert by_reason["not_json"].value() == b"not json"
        assert dict(by_reason["not_json"].headers())["origin-topic"] == EVENTS.encode()
        assert dict(by_reason["too_large"].headers())["truncated-from-bytes"] == str(len(huge)).encode()
        kept = {row["partition"]: row["next_offset"] for row in rows(store, f"FROM offsets WHERE topic = '{EVENTS}'")}
        committed = consumer.committed([TopicPartition(EVENTS, partition) for partition in kept])
        assert {place.partition: place.offset for place in committed} == kept
        consumer.close()

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
    def test_a_signal_drains_what_is_on_the_topics(
        self, forked: Starter, broker: Broker, tmp_path: Path, number: signal.Signals, code: int
    ) -> None:
        make_topics(broker)
        store = tmp_path / "a.duckdb"
        sink = start(forked, broker, store, "--batch-rows", "500")
        url = line_with(sink, "metrics on").split("metrics on ")[1].split("/metrics")[0]
        line_with(sink, "reading")
        until(lambda: urllib.request.urlopen(f"{url}/health/ready", timeout=30).status == 200)
        produce(broker, EVENTS, events(20_000))
        sink.signal(number)
        found, errors = finish(sink)
        assert (found, count_events(store)) == (code, 20_000), errors

    def test_killed_and_started_again_it_has_every_event_once(
        self, forked: Starter, broker: Broker, tmp_path: Path
    ) -> None:
        make_topics(broker)
        store = tmp_path / "a.duckdb"
        produce(broker, EVENTS, events(30_000))
        produce(broker, RUNS, [manifest()])
        for _ in range(2):
            sink = start(forked, broker, store, "--batch-rows", "300")
            line_with(sink, "reading")
            time.sleep(0.3)  # somewhere in the middle of some batch
            sink.process.kill()
            sink.wait()
        code, errors = finish(start(forked, broker, store, "--until-completed"))
        assert code == 0, errors
        found = rows(store, "SELECT count(*) AS n, count(DISTINCT event_id) AS d FROM events")
        assert found == [{"n": 30_000, "d": 30_000}]

    def test_what_the_handler_raises_reaches_the_caller(self, broker: Broker) -> None:
        """FastStream swallows exceptions of handlers; the source must not."""
        make_topics(broker)
        produce(broker, EVENTS, events(10))

        async def play(handler: Handler) -> BaseException:
            source = KafkaSource(broker.connection, [EVENTS], "g", wait_seconds=0.1)
            failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
            begin = {(EVENTS, 0): 0, (EVENTS, 1): 0}
            await source.start(begin, handler, lambda error: failure.done() or failure.set_result(error))
            try:
                return await asyncio.wait_for(failure, 60)
            finally:
                await source.close()

        async def broken(messages: list[Messages]) -> None:
            raise ZeroDivisionError

        assert isinstance(asyncio.run(play(broken)), ZeroDivisionError)  # type: ignore[arg-type]

    def test_the_true_ends_are_known_once_reading(self, broker: Broker) -> None:
        """The embedded broker understates the end of a partition by its last batch; see subscriber.py."""
        make_topics(broker)
        produce(broker, EVENTS, [(b"same", value) for _, value in events(50)])

        async def play() -> int:
            source = KafkaSource(broker.connection, [EVENTS], "g", wait_seconds=0.1)
            got = 0

            async def take(messages: list[Messages]) -> None:
                nonlocal got
                got += sum(map(len, messages))

            await source.start({(EVENTS, 0): 0, (EVENTS, 1): 0}, take, lambda error: None)  # type: ignore[arg-type]
            deadline = time.monotonic() + 60
            while got < 50 and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            cluster = await source.describe(5)
            assert cluster.exact
            await source.close()
            return sum(cluster.ends.values())

        assert asyncio.run(play()) == 50
