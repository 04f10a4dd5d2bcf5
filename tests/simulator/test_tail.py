"""The last message of a run is found from the end of a topic, whatever else is in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import Producer

from personas.connection import KafkaConnection
from personas.errors import BrokerError
from personas.topics import TopicSpec
from simulator.broker import EmbeddedBroker, free_port
from simulator.producer import EventProducer
from simulator.tail import STEPS, end_offsets, last_messages, windows_back
from simulator.topic_admin import provision

pytestmark = pytest.mark.kafka


@pytest.fixture
def topic(embedded_broker: EmbeddedBroker, own_name: Callable[[str], str]) -> str:
    name = own_name("tail")
    provision(embedded_broker.connection, [TopicSpec(name, 4, "user id", "")])
    return name


def write(connection: KafkaConnection, topic: str, partition: int, values: list[bytes], batch: int = 10_000) -> None:
    with EventProducer(connection) as producer:
        for start in range(0, len(values), batch):
            chunk = values[start : start + batch]
            producer.send(topic, chunk, [b"k"] * len(chunk), [partition] * len(chunk))
            producer.flush()


def of_run(run: bytes) -> Callable[[bytes], bool]:
    return lambda value: value.startswith(run)


def test_last_of_each_partition(embedded_broker: EmbeddedBroker, topic: str) -> None:
    connection = embedded_broker.connection
    write(connection, topic, 0, [b"a%d" % n for n in range(5)])
    write(connection, topic, 1, [b"a0"])
    write(connection, topic, 3, [b"a%d" % n for n in range(3000)], batch=700)
    expected = {0: b"a4", 1: b"a0", 2: None, 3: b"a2999"}
    assert last_messages(connection, topic, range(4), of_run(b"a")) == expected
    assert last_messages(connection, topic, [3, 1], of_run(b"a")) == {1: b"a0", 3: b"a2999"}
    assert last_messages(connection, topic, range(4), of_run(b"b")) == dict.fromkeys(range(4))


def test_a_replayed_dead_letter_is_not_the_last_message(embedded_broker: EmbeddedBroker, topic: str) -> None:
    """It stands at the end, but is from the middle: a run that took it for its end would go back and play again."""
    write(embedded_broker.connection, topic, 0, [b"a1", b"a2"])
    producer = Producer(embedded_broker.connection.client_options())
    producer.produce(topic, b"a0", b"k", 0, headers=[("replay-of", f"{topic}/0/0".encode())])
    assert producer.flush(20) == 0
    assert last_messages(embedded_broker.connection, topic, [0], of_run(b"a")) == {0: b"a2"}
    assert last_messages(embedded_broker.connection, topic, [], of_run(b"a")) == {}


@pytest.mark.parametrize("after", [0, 1, 99, 100, 101, 1100, 12_345])
def test_found_behind_another_run(embedded_broker: EmbeddedBroker, topic: str, after: int) -> None:
    """Whatever lies after it, and whatever the batches: the broker's own idea of the end is that of a batch."""
    connection = embedded_broker.connection
    write(connection, topic, 2, [b"a%d" % n for n in range(150)], batch=40)
    write(connection, topic, 2, [b"b%d" % n for n in range(after)], batch=900)
    assert last_messages(connection, topic, [2], of_run(b"a")) == {2: b"a149"}


def test_each_record_is_looked_at_once(embedded_broker: EmbeddedBroker, topic: str) -> None:
    connection = embedded_broker.connection
    write(connection, topic, 0, [b"%d" % n for n in range(sum(STEPS[:3]) + 5)], batch=7)
    seen: list[bytes] = []

    def accept(value: bytes) -> bool:
        seen.append(value)
        return False

    assert last_messages(connection, topic, [0], accept) == {0: None}
    assert sorted(map(int, seen)) == list(range(sum(STEPS[:3]) + 5))


def test_only_the_last_are_looked_at(embedded_broker: EmbeddedBroker, topic: str) -> None:
    """The embedded broker's end is the beginning of its last batch; what it holds need not all be decoded."""
    connection = embedded_broker.connection
    write(connection, topic, 0, [b"a%d" % n for n in range(25_000)], batch=25_000)
    seen: list[bytes] = []

    def accept(value: bytes) -> bool:
        seen.append(value)
        return True

    assert last_messages(connection, topic, [0], accept) == {0: b"a24999"}
    assert len(seen) <= 4


def test_windows_from_the_end_backwards(embedded_broker: EmbeddedBroker, own_name: Callable[[str], str]) -> None:
    connection, topic = embedded_broker.connection, own_name("windows")
    provision(connection, [TopicSpec(topic, 1, "", "")])
    assert list(windows_back(connection, topic, lambda key: True)) == []
    values = [b"%d" % n for n in range(150)]
    with EventProducer(connection) as producer:
        for start in range(0, 150, 40):  # the broker's own idea of the end is that of a batch
            some = values[start : start + 40]
            producer.send(topic, some, [b"odd" if int(value) % 2 else b"even" for value in some], [0] * len(some))
            producer.flush()
    everything = list(windows_back(connection, topic, lambda key: key == b"odd"))
    assert [value for window in reversed(everything) for _, value in window] == values[1::2]
    with closing(windows_back(connection, topic, lambda key: True)) as windows:
        assert next(windows)[-1] == (b"odd", b"149")


def test_deletions_are_not_accepted(embedded_broker: EmbeddedBroker, topic: str) -> None:
    from confluent_kafka import Producer

    connection = embedded_broker.connection
    write(connection, topic, 0, [b"a"])
    producer = Producer(connection.client_options() | {"log_level": 0})
    producer.produce(topic, None, b"k", 0)
    assert producer.flush(10) == 0
    assert last_messages(connection, topic, [0], lambda value: True) == {0: b"a"}


def test_end_offsets_are_the_true_ends(embedded_broker: EmbeddedBroker, topic: str) -> None:
    connection = embedded_broker.connection
    write(connection, topic, 0, [b"x"])
    write(connection, topic, 1, [b"x"] * 2500, batch=1000)
    assert end_offsets(connection, topic, range(4)) == {0: 1, 1: 2500, 2: 0, 3: 0}


def test_broker_that_is_away() -> None:
    connection = KafkaConnection(bootstrap_servers=f"127.0.0.1:{free_port('127.0.0.1')}")
    started = time.monotonic()
    with pytest.raises(BrokerError, match=f"topic events cannot be read from Kafka at {connection.bootstrap_servers}"):
        last_messages(connection, "events", [0], of_run(b"a"), timeout=0.3)
    assert time.monotonic() - started < 20


def test_broker_that_goes_away_while_reading() -> None:
    with EmbeddedBroker() as broker:
        provision(broker.connection, [TopicSpec("t", 1, "", "")])
        write(broker.connection, "t", 0, [b"a"] * 300, batch=50)

        def accept(value: bytes) -> bool:
            broker.stop()
            return False

        with pytest.raises(BrokerError, match="topic t cannot be read"):
            last_messages(broker.connection, "t", [0], accept, timeout=0.5)


def test_no_thread_stays(embedded_broker: EmbeddedBroker, topic: str, capfd: Any) -> None:
    before = threading.active_count()
    last_messages(embedded_broker.connection, topic, [0], of_run(b"a"))
    assert threading.active_count() == before
    assert capfd.readouterr().err == ""
