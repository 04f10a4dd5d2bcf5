"""A sink's membership in a Kafka consumer group: it says who reads which partitions, and carries no messages.

Two ways considered. The consumer that reads could be the member: then a rebalance happens in the middle of one of its
fetches, and messages from before it come out afterwards, with a gap where the partition went back to what the lake
holds. Chosen: a consumer of its own that only takes part in the group, its partitions paused, while reading is done by
one that is given partitions by hand (subscriber.py), and is made anew for each assignment. Nothing old can come out of
that one.

Partitions are shared out by ranges, which cuts all topics of a product in the same places: what belongs to a user is
written by one sink. Everybody gives up everything at each rebalance (the protocol called eager): a sink commits what it
has before others begin, and they begin where the lake stands. A rebalance costs a pause of a second or a few.

The member answers the group from a thread of its own, so a long transaction does not make it look dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaException
from confluent_kafka import TopicPartition as RawPartition

from personas.connection import KafkaConnection
from personas.errors import BrokerError
from sinks.batch import Partition, Positions
from sinks.group import Listener
from sinks.subscriber import client_logger

log = logging.getLogger("dayone.sink.kafka")

#: librdkafka's settings of a member. Six seconds without a heartbeat make it a dead one: the least that Apache Kafka
#: allows unless told otherwise. New partitions are noticed within ten.
MEMBER: dict[str, Any] = {
    "enable.auto.commit": False,
    "partition.assignment.strategy": "range",
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 500,
    "topic.metadata.refresh.interval.ms": 10_000,
    "reconnect.backoff.max.ms": 1_000,
    "allow.auto.create.topics": False,
    "auto.offset.reset": "latest",
    "client.id": "dayone-sink-member",
}
#: So long the group waits for a member that puts its partitions down.
_PUT_DOWN_SECONDS = 120.0
_POLL_SECONDS = 0.1


class KafkaGroup:
    """A `Group` (see group.py) on a Kafka cluster. May be joined again after it was left."""

    def __init__(self, connection: KafkaConnection, topics: Sequence[str], group: str) -> None:
        self._options = {**connection.client_options(), **MEMBER, "group.id": group}
        self._topics = list(topics)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._anew = threading.Event()
        self._lock = threading.Lock()
        self._kept: dict[Partition, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: Listener | None = None

    async def join(self, listener: Listener) -> None:
        """See Group."""
        self._loop, self._listener = asyncio.get_running_loop(), listener
        self._closing.clear()
        try:
            consumer = Consumer(self._options, logger=client_logger())
        except KafkaException as error:
            raise BrokerError(f"{self._options['bootstrap.servers']}: {error}") from error
        self._thread = threading.Thread(target=self._take_part, args=[consumer], name="kafka-group", daemon=True)
        self._thread.start()

    async def rejoin(self) -> None:
        """See Group."""
        self._anew.set()

    async def acknowledge(self, positions: Positions) -> None:
        """See Group. Left to the thread: during a rebalance the client makes whoever commits wait for its end."""
        with self._lock:
            self._kept.update(positions)

    async def leave(self) -> None:
        """See Group."""
        self._listener = None
        self._closing.set()
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.to_thread(thread.join)

    def _take_part(self, consumer: Consumer) -> None:
        """The thread: polls, which carries out what the group decides."""
        subscribe: dict[str, Any] = {
            "on_assign": self._on_assign, "on_revoke": self._on_revoke, "on_lost": self._on_lost,
        }  # fmt: skip
        try:
            consumer.subscribe(self._topics, **subscribe)
            while not self._closing.is_set():
                with contextlib.suppress(KafkaException):
                    consumer.poll(_POLL_SECONDS)
                self._commit(consumer)
                if self._anew.is_set():
                    self._anew.clear()
                    log.info("joining the other sinks anew")
                    consumer.unsubscribe()
                    consumer.poll(_POLL_SECONDS)
                    consumer.subscribe(self._topics, **subscribe)
            self._commit(consumer)
        finally:
            consumer.close()

    def _commit(self, consumer: Consumer) -> None:
        with self._lock:
            kept, self._kept = self._kept, {}
        offsets = [RawPartition(topic, partition, offset) for (topic, partition), offset in kept.items()]
        if offsets:
            with contextlib.suppress(KafkaException):
                consumer.commit(offsets=offsets, asynchronous=True)

    def _on_assign(self, consumer: Consumer, partitions: list[RawPartition]) -> None:
        self._anew.clear()
        for each in partitions:
            each.offset = OFFSET_END
        consumer.assign(partitions)
        consumer.pause(partitions)
        if self._listener is not None:
            places = frozenset((each.topic, each.partition) for each in partitions)
            self._tell(self._listener.assigned(places))

    def _on_revoke(self, consumer: Consumer, partitions: list[RawPartition]) -> None:
        if self._listener is not None:
            self._tell(self._listener.given_up(lost=False))

    def _on_lost(self, consumer: Consumer, partitions: list[RawPartition]) -> None:
        log.warning("the group has gone on without this sink")
        self._anew.clear()
        if self._listener is not None:
            self._tell(self._listener.given_up(lost=True))

    def _tell(self, news: Coroutine[Any, Any, None]) -> None:
        """Have the event loop do it, and wait until it is done."""
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(news, self._loop)
        try:
            future.result(_PUT_DOWN_SECONDS)
        except TimeoutError:
            log.warning("a sink has not put its partitions down in time; the store keeps it from writing them")
