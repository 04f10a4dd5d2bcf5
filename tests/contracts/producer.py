"""The contract of every MessageProducer; a test class inherits it and says how to make one and read it back."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

from personas.connection import KafkaConnection
from personas.errors import DeliveryError
from personas.event import CONTENT_TYPE_HEADER
from simulator.producer import MessageProducer, Record


class ProducerContract(ABC):
    """Inherit, and implement `producer`, `topic`, `written` and `broken`."""

    @abstractmethod
    def producer(self) -> MessageProducer:
        """A producer that works."""

    @abstractmethod
    def topic(self) -> str:
        """An empty topic of three partitions."""

    @abstractmethod
    def written(self, producer: MessageProducer, topic: str) -> list[Record]:
        """All that is in the topic, in order within each partition."""

    @abstractmethod
    def broken(self) -> MessageProducer:
        """A producer whose broker gives up on every record within a second."""

    def test_records_arrive_in_order_with_key_partition_and_header(self) -> None:
        topic = self.topic()
        values = [b'{"id":"%d"}' % n for n in range(1000)]
        keys = [b"u%d" % (n // 7) for n in range(1000)]
        partitions = [n // 7 % 3 for n in range(1000)]
        with self.producer() as producer:
            producer.send(topic, values[:600], keys[:600], partitions[:600])
            producer.send(topic, values[600:], keys[600:], partitions[600:])
            producer.flush()
            records = self.written(producer, topic)
        for number in range(3):
            expected = [
                (key, value)
                for key, value, partition in zip(keys, values, partitions, strict=True)
                if partition == number
            ]
            assert [(r.key, r.value) for r in records if r.partition == number] == expected
        assert {r.headers for r in records} == {(CONTENT_TYPE_HEADER,)}

    def test_counts(self) -> None:
        topic = self.topic()
        with self.producer() as producer:
            assert producer.counts().produced == 0
            producer.send(topic, [b"12345", b"123"], [b"a", b"b"], [0, 1])
            producer.flush()
            counts = producer.counts()
        assert (counts.produced, counts.bytes, counts.failed, counts.queued) == (2, 8, 0, 0)
        assert counts.latency_seconds >= 0
        assert producer.counts().produced == 2, "counts outlive the client"

    def test_empty_chunk(self) -> None:
        topic = self.topic()
        with self.producer() as producer:
            producer.send(topic, [], [], [])
            producer.flush()
            assert self.written(producer, topic) == []

    def test_unequal_lengths_send_nothing(self) -> None:
        topic = self.topic()
        with self.producer() as producer:
            with pytest.raises(ValueError, match="2 values, 1 keys and 2 partitions"):
                producer.send(topic, [b"a", b"b"], [b"a"], [0, 0])
            producer.flush()
            assert self.written(producer, topic) == []

    def test_leaving_the_block_flushes(self) -> None:
        topic = self.topic()
        with self.producer() as producer:
            producer.send(topic, [b"last"], [b"k"], [2])
        assert [r.value for r in self.written(producer, topic)] == [b"last"]

    def test_leaving_the_block_by_an_error_does_not_hide_it(self) -> None:
        with pytest.raises(KeyError), self.broken() as producer:
            producer.send("any", [b"v"], [b"k"], [0])
            raise KeyError

    def test_what_is_given_up_is_counted_and_raises_from_then_on(self) -> None:
        producer = self.broken()
        producer.send("any", [b"v", b"w"], [b"k", b"k"], [0, 0])
        with pytest.raises(DeliveryError, match="did not take 2 records") as caught:
            producer.flush(10)
        assert caught.value.exit_code == 4
        assert producer.counts().failed == 2
        with pytest.raises(DeliveryError):
            producer.send("any", [b"x"], [b"k"], [0])
        with pytest.raises(DeliveryError):
            producer.flush()
        producer.close()

    def test_closed_producer_refuses(self) -> None:
        producer = self.producer()
        producer.close()
        producer.close()
        with pytest.raises(DeliveryError, match="closed"):
            producer.send("any", [b"v"], [b"k"], [0])
        with pytest.raises(DeliveryError, match="closed"):
            producer.flush()

    def test_stop_keeps_what_was_sent(self) -> None:
        topic = self.topic()
        with self.producer() as producer:
            producer.stop()
            producer.send(topic, [b"v"], [b"k"], [0])
            producer.flush()
            assert len(self.written(producer, topic)) == 1


def read_all(connection: KafkaConnection, topic: str, partitions: int) -> list[Record]:
    """All records of a topic on a broker, in order within each partition."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer(
        {**connection.client_options(), "group.id": "tests", "enable.partition.eof": True, "check.crcs": True}
    )
    try:
        records: list[Record] = []
        open_ends = set(range(partitions))
        consumer.assign([TopicPartition(topic, number, 0) for number in open_ends])
        while open_ends:
            message = consumer.poll(5)
            assert message is not None
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF
                open_ends.discard(message.partition())
            else:
                headers = tuple(message.headers() or ())
                records.append(Record(topic, message.partition(), message.key(), message.value(), headers))
        return records
    finally:
        consumer.close()
