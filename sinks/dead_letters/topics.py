"""Dead letters on Kafka: written by a sink, read back to the end of their topics, sent to where they came from.

May know the Confluent client and letters; no decoding, no database. The client is used directly and not through
FastStream, whose `publish` takes headers as a dictionary of texts and turns no value into an empty one: a letter keeps
its headers, whose names may repeat and whose values are bytes, and whether it had a value.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from personas.connection import KafkaConnection
from personas.errors import BrokerError, DeliveryError
from personas.letters import Headers
from personas.topics import dead_letter_topic
from sinks.batch import DeadLetter
from sinks.dead_letters.letter import Letter, Mark, Place, Record, letter_of, mark_of, record_of, replayed_headers

log = logging.getLogger("dayone.sink.dead_letters")

#: The dead-letter topics that are ours; others on the same cluster are left alone.
PREFIX, SUFFIX = "dayone.", dead_letter_topic("")
_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_AT_ONCE = 10_000
#: librdkafka's own word for: choose the partition by the key.
PARTITION_UA = -1


class Quiet:
    """What librdkafka gets as its logger: everything at debug level; what matters is told by what it returns."""

    def log(self, level: int, template: str, *rest: object) -> None:
        """The one method that librdkafka's binding calls."""
        log.debug(template, *rest)


def headers_of(message: Any) -> Headers:
    """A message's headers in their order; the client gives bytes or nothing as values."""
    return tuple(message.headers() or ())


class Sender:
    """Sends records with any headers, and knows which could not be delivered. Connects with the first record."""

    def __init__(self, connection: KafkaConnection, *, delivery_seconds: float = 300.0) -> None:
        self._options: dict[str, Any] = {
            **connection.client_options(),
            "client.id": "dayone-dead-letters",
            "enable.idempotence": True,
            "compression.type": "zstd",
            "message.timeout.ms": int(delivery_seconds * 1000),
            "logger": Quiet(),
        }
        self._producer: Producer | None = None

    def send(self, records: Iterable[tuple[str, int | None, Record]]) -> dict[str, KafkaError]:
        """Send records to topic and partition (None: by the key); returns when all are delivered or given up. The
        answer has an error for each topic on which something could not be delivered."""
        producer = self._producer = self._producer or Producer(self._options)
        failed: dict[str, KafkaError] = {}
        for count, (topic, partition, (key, value, headers)) in enumerate(records, 1):
            place = PARTITION_UA if partition is None else partition
            note = _noting(failed, topic)
            try:
                producer.produce(topic, value=value, key=key, headers=list(headers), on_delivery=note, partition=place)
            except KafkaException as error:
                failed[topic] = error.args[0]
            if count % _AT_ONCE == 0:
                producer.flush()
        producer.flush()
        return failed

    def close(self) -> None:
        """Forget the connection; what was sent has been delivered or given up."""
        self._producer = None


def _noting(failed: dict[str, KafkaError], topic: str) -> Callable[[KafkaError | None, Any], None]:
    def note(error: KafkaError | None, message: Any) -> None:
        if error is not None:
            failed[topic] = error

    return note


class Outbox:
    """A sink's way to the dead-letter topics. One thread at a time."""

    def __init__(
        self, connection: KafkaConnection, group: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._sender, self._group, self._clock = Sender(connection), group, clock
        self._absent: set[str] = set()

    def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Put letters on their dead-letter topics; returns when the broker has them. A topic that does not exist is
        warned of once (the database has the letter); any other failure is a DeliveryError."""
        now = self._clock()
        records = (
            (topic, None, record_of(letter, self._group, now))
            for letter in letters
            if (topic := dead_letter_topic(letter.topic)) not in self._absent
        )
        for topic, error in self._sender.send(records).items():
            if error.code() not in _NO_TOPIC:
                raise DeliveryError(f"{topic}: a dead letter could not be delivered ({error.str()}).")
            self._absent.add(topic)
            log.warning("%s does not exist: dead letters go to the database alone", topic)

    def close(self) -> None:
        """Forget the connection and which topics are missing: the next one may be to another cluster."""
        self._sender.close()
        self._absent.clear()


class Mailbox:
    """The dead-letter topics of a cluster, for people: read them, send letters again. Use it in a `with`."""

    def __init__(self, connection: KafkaConnection, *, timeout: float = 10.0) -> None:
        self._connection, self._timeout = connection, timeout
        self._servers = connection.client_options()["bootstrap.servers"]
        self._sender = Sender(connection, delivery_seconds=max(timeout, 1.0))

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        consumer = Consumer(
            {
                **self._connection.client_options(),
                "client.id": "dayone-dead-letters",
                "group.id": "dayone-dead-letters",  # required by the client, never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 20,
                "logger": Quiet(),
            }
        )
        try:
            yield consumer
        finally:
            consumer.close()

    def _metadata(self, consumer: Consumer) -> Any:
        try:
            return consumer.list_topics(timeout=self._timeout)
        except KafkaException as error:
            raise BrokerError(
                f"{self._servers}: no answer from Kafka ({error.args[0].str()}).",
                hint="Is it running? Give another address with --bootstrap-servers.",
            ) from error

    def cluster_id(self) -> str:
        """The id of the cluster; BrokerError where it does not answer."""
        with self._consumer() as consumer:
            return str(self._metadata(consumer).cluster_id)

    def read(self, topic: str | None = None) -> Iterator[Letter | Mark]:
        """Everything on the dead-letter topics (or on that of one origin topic), by partition in the order of arrival.

        Records that are no letters of ours are passed over. BrokerError where nothing comes for `timeout` seconds.
        """
        only = topic if topic is None or topic.endswith(SUFFIX) else dead_letter_topic(topic)
        with self._consumer() as consumer:
            known = self._metadata(consumer).topics
            names = [name for name in known if name.startswith(PREFIX) and name.endswith(SUFFIX)]
            wanted = [
                TopicPartition(name, partition, 0)
                for name in sorted(names if only is None else {only} & set(known))
                for partition in known[name].partitions
            ]
            yield from self._read(consumer, wanted)

    def _read(self, consumer: Consumer, wanted: list[TopicPartition]) -> Iterator[Letter | Mark]:
        unfinished = {(place.topic, place.partition) for place in wanted}
        consumer.assign(wanted)
        deadline = time.monotonic() + self._timeout
        while unfinished:
            message = consumer.poll(0.1)
            if message is None:
                if time.monotonic() > deadline:
                    raise BrokerError(f"{self._servers}: the dead-letter topics cannot be read to their ends.")
                continue
            deadline = time.monotonic() + self._timeout
            error = message.error()
            if error is None:
                if (found := letter_of(message.key(), message.value(), headers_of(message))) is not None:
                    yield found
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard((message.topic(), message.partition()))
            else:
                raise BrokerError(f"{message.topic()}: cannot be read ({error.str()}).")

    def replay(self, letters: Sequence[Letter], mended: bytes | None = None) -> None:
        """Send letters to where they came from, the same partition included; DeliveryError names the topics that did
        not take all of theirs. What was sent may be sent again without harm: event ids say that it is the same."""
        records = (
            (
                letter.place.topic,
                letter.place.partition,
                (
                    letter.key,
                    letter.value if mended is None else mended,
                    replayed_headers(letter, mended=mended is not None),
                ),
            )
            for letter in letters
        )
        if failed := self._sender.send(records):
            faults = "; ".join(f"{topic}: {error.str()}" for topic, error in failed.items())
            raise DeliveryError(
                f"Not every letter could be delivered ({faults}).",
                hint="None was marked as replayed. Mend it and replay them again: nothing is stored twice.",
            )

    def mark(self, places: Sequence[Place], when: datetime) -> list[str]:
        """Leave marks beside the letters; the dead-letter topics that did not take them."""
        records = ((dead_letter_topic(place.topic), None, mark_of(place, when)) for place in places)
        return sorted(self._sender.send(records))

    def __enter__(self) -> Mailbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._sender.close()
