"""Both producers keep the contract; the real one also bounds its memory, its waiting and its noise."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from typing import Any

import pytest

from personas.connection import KafkaConnection
from personas.errors import DeliveryError
from personas.topics import TopicSpec
from simulator.broker import EmbeddedBroker, free_port
from simulator.client_log import ClientLog
from simulator.producer import EventProducer, MemoryProducer, MessageProducer, Record, sender_options
from simulator.topic_admin import cluster_id_of, provision
from tests.contracts.producer import ProducerContract, read_all
from tests.faults.brokers import ProxiedBroker


class TestMemoryProducer(ProducerContract):
    def producer(self) -> MemoryProducer:
        return MemoryProducer()

    def topic(self) -> str:
        return "topic"

    def written(self, producer: MessageProducer, topic: str) -> list[Record]:
        assert isinstance(producer, MemoryProducer)
        return [record for record in producer.records if record.topic == topic]

    def broken(self) -> MemoryProducer:
        return MemoryProducer(trouble="Local: Message timed out")


@pytest.mark.kafka
class TestEventProducer(ProducerContract):
    @pytest.fixture(autouse=True)
    def _broker(self, embedded_broker: EmbeddedBroker) -> None:
        self.connection = embedded_broker.connection

    def producer(self) -> EventProducer:
        return EventProducer(self.connection)

    def topic(self) -> str:
        name = f"produced-{uuid.uuid4().hex}"
        provision(self.connection, [TopicSpec(name, 3, "user id", "")])
        return name

    def written(self, producer: MessageProducer, topic: str) -> list[Record]:
        return read_all(self.connection, topic, 3)

    def broken(self) -> EventProducer:
        return EventProducer(away(), delivery_timeout=0.3)

    def test_more_than_the_buffer_holds_waits_and_loses_nothing(self) -> None:
        topic = self.topic()
        values = [b"%d" % n for n in range(5000)]
        with EventProducer(self.connection, buffer_messages=100) as producer:
            producer.send(topic, values, [b"k"] * 5000, [1] * 5000)
            producer.flush()
        assert [record.value for record in self.written(producer, topic)] == values

    def test_latency_is_measured(self) -> None:
        topic = self.topic()
        with self.producer() as producer:
            deadline = time.monotonic() + 60
            while producer.counts().latency_seconds == 0 and time.monotonic() < deadline:
                producer.send(topic, [b"v"] * 100, [b"k"] * 100, [0] * 100)
                producer.flush()
            assert 0 < producer.counts().latency_seconds < 5

    def test_a_pause_is_no_silence_of_the_broker(self) -> None:
        topic = self.topic()
        with EventProducer(self.connection, delivery_timeout=0.5) as producer:
            for _ in range(2):
                producer.send(topic, [b"v"] * 10, [b"k"] * 10, [0] * 10)
                time.sleep(1.2)  # longer than the timeout, and than the client's interval of statistics
            producer.flush()
        assert len(self.written(producer, topic)) == 20

    def test_record_too_large_is_named_and_counted_up_to_it(self) -> None:
        topic = self.topic()
        with self.producer() as producer:
            with pytest.raises(DeliveryError, match=r"record of 2000000 bytes for produced-.*too large") as caught:
                producer.send(topic, [b"small", b"x" * 2_000_000, b"after"], [b"k"] * 3, [0] * 3)
            assert "The record begins: xxx" in caught.value.hint
            assert producer.counts().produced == 1
            producer.flush()

    def test_unknown_partition(self) -> None:
        topic = self.topic()
        producer = self.producer()
        with pytest.raises(DeliveryError, match="Unknown partition"):
            producer.send(topic, [b"v"], [b"k"], [99])
            producer.flush(10)
        producer.close()

    def test_nothing_is_lost_or_doubled_when_the_broker_is_slow(self) -> None:
        """A broker that is stopped (SIGSTOP) for a moment makes the client retry; the records stay in order."""
        import psutil

        with EmbeddedBroker() as broker:
            provision(broker.connection, [TopicSpec("slow", 1, "", "")])
            assert broker._process is not None
            process = psutil.Process(broker._process.pid)
            values = [b"%d" % n for n in range(20_000)]
            with EventProducer(broker.connection) as producer:
                producer.send("slow", values[:10_000], [b"k"] * 10_000, [0] * 10_000)
                process.suspend()
                threading.Timer(0.5, process.resume).start()
                producer.send("slow", values[10_000:], [b"k"] * 10_000, [0] * 10_000)
                producer.flush()
            assert [record.value for record in read_all(broker.connection, "slow", 1)] == values


@pytest.mark.kafka
def test_what_comes_after_a_record_that_was_given_up_never_arrives() -> None:
    """Else the last record of a partition would not say what the partition holds, and a resumed run leave a gap."""
    with ProxiedBroker() as broker:
        provision(broker.connection, [TopicSpec("gaps", 1, "user id", "")])
        producer = EventProducer(broker.connection, delivery_timeout=2.0)
        producer.send("gaps", [b"first"], [b"k"], [0])
        producer.flush()
        broker.proxy.sever()
        producer.send("gaps", [b"early"], [b"k"], [0])
        time.sleep(1.6)
        producer.send("gaps", [b"late"], [b"k"], [0])
        time.sleep(0.6)  # more than two seconds for the early record, less for the late one
        broker.proxy.restore()
        found, deadline = [b"first"], time.monotonic() + 4
        while found == [b"first"] and time.monotonic() < deadline:  # the caller is busy: nobody asks the client
            found = [record.value for record in read_all(broker.connection, "gaps", 1)]
        producer.close()
        assert found in ([b"first"], [b"first", b"early", b"late"])


@pytest.mark.kafka
def test_nothing_is_sent_to_a_cluster_other_than_the_one_asked_for(embedded_broker: EmbeddedBroker) -> None:
    connection, topic = embedded_broker.connection, f"strange-{uuid.uuid4().hex}"
    provision(connection, [TopicSpec(topic, 1, "user id", "")])
    for cluster_id, expected in (("another", []), (cluster_id_of(connection), [b"v"])):
        producer = EventProducer(connection, cluster_id=cluster_id)
        with contextlib.nullcontext() if expected else pytest.raises(DeliveryError, match="another cluster answers"):
            producer.send(topic, [b"v"], [b"k"], [0])
            producer.flush(10)
        producer.close()
        assert [record.value for record in read_all(connection, topic, 1)] == expected


@pytest.mark.kafka
def test_another_cluster_at_the_same_address_is_noticed_at_once() -> None:
    port = free_port("127.0.0.1")
    with EmbeddedBroker(port) as broker:
        provision(broker.connection, [TopicSpec("moved", 1, "user id", "")])
        producer = EventProducer(broker.connection)
        producer.send("moved", [b"0"], [b"k"], [0])
        producer.flush()
    with EmbeddedBroker(port) as broker:
        with pytest.raises(DeliveryError, match="another cluster answers"):
            for number in range(1, 1000):
                producer.send("moved", [b"%d" % number], [b"k"], [0])
                time.sleep(0.02)
        producer.close()
        made = provision(broker.connection, [TopicSpec("moved", 3, "user id", "")])
        assert made == {"moved": 3}, "the producer did not make the topic"


def away() -> KafkaConnection:
    return KafkaConnection(bootstrap_servers=f"127.0.0.1:{free_port('127.0.0.1')}")


def test_failure_says_who_and_why() -> None:
    connection = away()
    producer = EventProducer(connection, delivery_timeout=0.2)
    producer.send("events", [b"v"], [b"k"], [0])
    with pytest.raises(DeliveryError, match=rf"{connection.bootstrap_servers} did not take 1 records") as error:
        producer.flush(10)
    assert "nothing acknowledged for 0.2 s" in str(error.value)
    assert "Connection refused" in str(error.value)
    producer.close()


def test_flush_ends_in_time_while_the_broker_is_away() -> None:
    producer = EventProducer(away())
    producer.send("events", [b"v"] * 3, [b"k"] * 3, [0] * 3)
    started = time.monotonic()
    with pytest.raises(DeliveryError, match="3 records are not acknowledged"):
        producer.flush(0.2)
    assert time.monotonic() - started < 20
    producer.close()


def test_stop_frees_a_send_that_waits_for_a_broker_that_is_away() -> None:
    producer = EventProducer(away(), buffer_messages=10)
    stopper = threading.Timer(0.2, producer.stop, [0.1])
    stopper.start()
    started = time.monotonic()
    with pytest.raises(DeliveryError, match="given up while stopping"):
        producer.send("events", [b"v"] * 100, [b"k"] * 100, [0] * 100)
    assert 0.2 < time.monotonic() - started < 20
    assert producer.counts().produced == 10
    stopper.join()
    producer.close()


@pytest.mark.kafka
def test_closing_gives_up_what_is_still_on_its_way(embedded_broker: EmbeddedBroker) -> None:
    """Where a broker was replaced in the midst of a request, the client finds that out when it is closed."""
    from kafka.errors import KafkaTimeoutError

    topic = f"closed-{uuid.uuid4().hex}"
    provision(embedded_broker.connection, [TopicSpec(topic, 1, "user id", "")])
    producer = EventProducer(embedded_broker.connection)
    producer.send(topic, [b"v"], [b"k"], [0])
    sender, closed = producer._sender, threading.Event()
    assert sender is not None

    def late(timeout: float) -> None:
        closed.set()
        raise KafkaTimeoutError(f"Timeout waiting for future ({timeout})")

    sender.close = late
    producer.close()
    del sender.close
    assert closed.is_set()


def test_interrupt_ends_a_send_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    producer = EventProducer(away(), buffer_messages=10)
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        producer.send("events", [b"v"] * 100, [b"k"] * 100, [0] * 100)
    producer.close()


def test_client_says_nothing_on_standard_error(capfd: pytest.CaptureFixture[str], caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    producer = EventProducer(away(), delivery_timeout=0.2)
    producer.send("events", [b"v"], [b"k"], [0])
    with pytest.raises(DeliveryError):
        producer.flush(10)
    producer.close()
    assert capfd.readouterr().err == ""


def test_client_log_keeps_the_level_of_what_is_not_noise(caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    log = ClientLog(logging.getLogger("somewhere"))
    log.log(logging.ERROR, "%s [%s] %s", "FAIL", "rdkafka#producer-1", "connection refused")
    log.log(logging.ERROR, "%s [%s] %s", "FATAL", "rdkafka#producer-1", "fenced")
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.DEBUG, "FAIL [rdkafka#producer-1] connection refused"),
        (logging.ERROR, "FATAL [rdkafka#producer-1] fenced"),
    ]


def test_options_promise_no_loss() -> None:
    options = sender_options(KafkaConnection(bootstrap_servers="k:1,l:2"))
    assert options["bootstrap_servers"] == ["k:1", "l:2"]
    assert options["enable_idempotence"] is True
    assert options["acks"] == "all"
    assert options["allow_auto_create_topics"] is False
    assert options["delivery_timeout_ms"] > 24 * 3_600_000, "no batch times out alone: what comes after could arrive"
    assert "retries" not in options, "as often as it takes"
