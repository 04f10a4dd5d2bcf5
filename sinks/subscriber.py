"""Kafka as the sink sees it: the only home of FastStream and the Confluent client in this room.

How partitions are assigned, two ways considered. A consumer group shares partitions among members, but a DuckDB
file has one writer anyway, joining takes seconds (3 to 23 on the embedded broker), and after a crash the group's
offsets may lag behind the database. Chosen: assign every partition by hand at the offset that the database holds,
and still commit offsets to the group after each transaction, so that ordinary lag monitors work. Acknowledging is
therefore information, never the truth.

Three traps of the libraries are stepped around here. FastStream parses and decodes each message of a batch in Python
(8 microseconds each) and swallows what a handler raises: a parser and decoder of ours pass the batch through
untouched, and a middleware hands every exception to the daemon. librdkafka waits a second before it fetches again
once its queue is full (135 k messages/s on one machine): see `CONSUMER` (over 500 k/s there). And whoever asks a
consumer for anything waits until its poll is over: see polling.py.

How much is read ahead, two ways considered. Much (64 MiB, 2 MiB of each partition at a time) let the heap grow to
400 MB: the client keeps an object beside each message, what a fetch brings is compressed and comes on top of the
bound, and what is freed in a heap that large stays in pieces. Chosen: a third of a second of reading at full speed,
fetched in small parts. That takes half of the heap and a tenth less processor time: messages are taken while they are
in the caches.

And one trap of the embedded broker: asked for the end of a partition it names the first message of the last batch,
not the last. The answers to fetches have the true end, so the larger of the two is taken; before the first fetch of
each partition the description is not `exact`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from types import TracebackType
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as RawPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from faststream import BaseMiddleware
from faststream.confluent import KafkaBroker, KafkaMessage, TopicPartition
from faststream.confluent.message import FAKE_CONSUMER
from faststream.middlewares import AckPolicy

from personas.connection import KafkaConnection
from personas.errors import BrokerError
from personas.letters import Headers
from personas.listener import Refusals, topics_of
from sinks.batch import DeadLetter, Messages, Partition, Positions
from sinks.dead_letters.topics import Outbox
from sinks.polling import PolledConsumer
from sinks.source import Cluster, Handler

log = logging.getLogger("dayone.sink.kafka")

#: librdkafka's consumer settings, in its own words.
CONSUMER: dict[str, Any] = {
    "queued.min.messages": 40_000,
    "fetch.queue.backoff.ms": 5,
    "fetch.wait.max.ms": 100,
    "fetch.max.bytes": 4 * 1024 * 1024,
    "max.partition.fetch.bytes": 512 * 1024,
    "check.crcs": True,
    "reconnect.backoff.max.ms": 1_000,
}

# The client's types allow for a missing topic, partition and offset; messages that were read have all three.
_TOPIC: Any = Message.topic
_PARTITION: Any = Message.partition
_OFFSET: Any = Message.offset
_VALUE: Any = Message.value


def columns_of(batch: Sequence[Message]) -> list[Messages]:
    """The messages column by column, one `Messages` per topic, in the order of arrival."""
    groups: dict[str, list[Any]] = {}
    for topic, run in groupby(batch, _TOPIC):
        groups.setdefault(topic, []).extend(run)
    return [
        Messages(
            topic,
            list(map(_PARTITION, run)),
            list(map(_OFFSET, run)),
            _Keys(run),
            list(map(_VALUE, run)),
            headers=_headers_in(run),
        )
        for topic, run in groups.items()
    ]


class _Keys(Sequence[bytes | None]):
    """The keys of messages, each taken out when it is asked for: only dead letters need theirs."""

    def __init__(self, messages: Sequence[Any]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    def __getitem__(self, place: Any) -> Any:
        return self._messages[place].key()


def _headers_in(run: Sequence[Any]) -> Callable[[int], Headers]:
    return lambda place: tuple(run[place].headers() or ())


class KafkaSource:
    """A `Source` (see source.py) on a Kafka cluster."""

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[str],
        group: str,
        *,
        fetch: int = 8192,
        wait_seconds: float = 0.25,
        prefetch_mib: int = 16,
    ) -> None:
        self._connection = connection
        self._options = connection.client_options()
        self._topics = tuple(topics)
        self._group = group
        self._fetch = fetch
        self._wait_seconds = wait_seconds
        self._consumer = CONSUMER | {"queued.max.messages.kbytes": prefetch_mib * 1024}
        self._logger = client_logger()
        self._admin: AdminClient | None = None
        self._refusals = Refusals()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-admin")
        self._broker: KafkaBroker | None = None
        self._polled: PolledConsumer | None = None
        self._reading: frozenset[Partition] = frozenset()
        self._outbox = Outbox(connection, group)

    async def describe(self, timeout: float) -> Cluster:
        """See Source."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._describe, timeout)

    def _describe(self, timeout: float) -> Cluster:
        try:
            if self._admin is None:
                options: dict[str, Any] = {**self._options, "error_cb": self._refusals}
                self._admin = AdminClient(options, logger=self._logger)
            metadata = topics_of(self._admin, self._connection, self._refusals, KafkaException, timeout=timeout)
            wanted = [
                RawPartition(topic, partition)
                for topic in self._topics
                if topic in metadata.topics and metadata.topics[topic].error is None
                for partition in metadata.topics[topic].partitions
            ]
            first = self._offsets(wanted, OffsetSpec.earliest(), timeout)  # type: ignore[no-untyped-call]
            after = self._offsets(wanted, OffsetSpec.latest(), timeout)  # type: ignore[no-untyped-call]
        except KafkaException as error:
            raise BrokerError(
                f"{self._options['bootstrap.servers']}: no answer from Kafka ({_words(error)}).",
                hint="Is it running? Give another address with --bootstrap-servers.",
            ) from error
        seen = {place: self._seen_end(place) for place in after}
        bounds = {place: (first[place], max(after[place], seen[place])) for place in after}
        return Cluster(str(metadata.cluster_id), bounds, exact=all(
            seen[place] >= 0 or after[place] == first[place] for place in after if place in self._reading
        ))  # fmt: skip

    def _seen_end(self, place: Partition) -> int:
        """The end of a partition as of its last fetch, negative where there was none."""
        polled = self._polled
        return -1 if polled is None else polled.ends.get(place, -1)

    def _offsets(self, wanted: list[RawPartition], which: OffsetSpec, timeout: float) -> dict[Partition, int]:
        if not wanted or self._admin is None:
            return {}
        answers = self._admin.list_offsets(dict.fromkeys(wanted, which), request_timeout=timeout)
        return {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}

    async def start(self, positions: Positions, handler: Handler, failed: Callable[[BaseException], None]) -> None:
        """See Source."""
        self._reading = frozenset(positions)
        if not positions:
            return
        broker = KafkaBroker(
            self._options["bootstrap.servers"],
            config={**{k: v for k, v in self._options.items() if k != "bootstrap.servers"}, **self._consumer},  # type: ignore[arg-type]
            client_id="dayone-sink",
            allow_auto_create_topics=False,
            graceful_timeout=60.0,
            logger=self._logger,
            log_level=logging.DEBUG,
            apply_types=False,
            middlewares=[_reporting(failed)],
        )
        subscriber = broker.subscriber(
            partitions=[TopicPartition(topic, part, at, declare=False) for (topic, part), at in positions.items()],
            batch=True,
            max_records=self._fetch,
            polling_interval=self._wait_seconds,
            group_id=self._group,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            parser=_parse,
            decoder=_decode,
        )

        async def take(batch: Sequence[Message]) -> None:
            await handler(columns_of(batch))

        subscriber(take)
        try:
            await broker.start()
        except KafkaException as error:
            raise BrokerError(f"{self._options['bootstrap.servers']}: {_words(error)}") from error
        self._broker = broker
        if subscriber.consumer:
            polled: Any = PolledConsumer(
                subscriber.consumer.consumer, self._reading, RawPartition, (KafkaException, RuntimeError)
            )
            subscriber.consumer.consumer = self._polled = polled

    async def acknowledge(self, positions: Positions) -> None:
        """See Source."""
        if self._polled is not None:
            self._polled.acknowledge(positions)

    async def publish_dead(self, letters: Sequence[DeadLetter]) -> None:
        """See Source. A dead-letter topic that does not exist is warned of once; the table has the letter."""
        await asyncio.to_thread(self._outbox.publish, letters)

    async def stop(self) -> None:
        """See Source."""
        if self._broker is not None:
            broker, self._broker = self._broker, None
            if self._polled is not None:
                self._polled.end_soon()
                self._polled = None
            await broker.stop()
            self._outbox.close()

    async def close(self) -> None:
        """Stop, and let go of the connection used by `describe`."""
        await self.stop()
        self._threads.shutdown(wait=False)
        self._admin = None


async def _parse(batch: tuple[Message, ...]) -> KafkaMessage:
    return KafkaMessage(batch, b"", correlation_id="batch", consumer=FAKE_CONSUMER, is_manual=True)


async def _decode(message: KafkaMessage) -> Any:
    return message.raw_message


def _reporting(failed: Callable[[BaseException], None]) -> Any:
    """A middleware that hands on every exception of parsing, decoding and handling."""

    class Reporting(BaseMiddleware):
        async def after_processed(
            self,
            exc_type: type[BaseException] | None = None,
            exc_val: BaseException | None = None,
            exc_tb: TracebackType | None = None,
        ) -> bool:
            if exc_val is not None and not isinstance(exc_val, asyncio.CancelledError):
                failed(exc_val)
            return False

    return Reporting


class _Quiet(logging.Filter):
    """Turns the noise of both libraries down to debug: connections that come and go are reported by the daemon."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG) and log.isEnabledFor(logging.DEBUG)


def client_logger() -> logging.Logger:
    """The logger of the client libraries, at debug level."""
    logger = logging.getLogger("dayone.sink.kafka.client")
    if not any(isinstance(known, _Quiet) for known in logger.filters):
        logger.addFilter(_Quiet())
    return logger


def _words(error: KafkaException) -> str:
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)
