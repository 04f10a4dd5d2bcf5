"""Bulk production: chunks of ready-made records onto Kafka, in order, with a bounded buffer and no silent loss.

The home of confluent-kafka's producer; may know records as bytes and nothing of what they say. FastStream's own
publisher waits for a confirmation per message (4 to 60 thousand a second), so bulk goes through the client under it.

Measured with 400-byte records on two cores, microseconds per `produce` in the calling thread: without headers 0.8;
with headers by keyword 1.4 to 1.8, whether list, tuple or dict, bytes or string; with headers and *all arguments by
position* 0.8 to 1.0, because the call then builds no dictionary. `produce_batch` is 1.2 to 1.8 (one dictionary per
record) and has no headers. So: one prepared header list, positional arguments, local names, no callback per record,
and a poll per chunk. `delivery.report.only.error` makes success cost nothing.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import length_hint
from typing import Any, NoReturn

from personas.connection import KafkaConnection
from personas.errors import DeliveryError
from personas.event import CONTENT_TYPE_HEADER

#: How long one wait for the client lasts at most, in seconds: what Ctrl-C or `stop` may have to wait for.
SLICE = 0.05


@dataclass(frozen=True)
class ProducerCounts:
    """Where a producer stands: `produced` records and `bytes` of their values were taken over by the client,
    `failed` of them given up after all retries, `queued` not yet acknowledged. `latency_seconds` is the mean time
    from hand-over to acknowledgement in the last second or so."""

    produced: int = 0
    failed: int = 0
    bytes: int = 0
    queued: int = 0
    latency_seconds: float = 0.0


class MessageProducer(ABC):
    """What the simulator needs of a producer. One thread sends and flushes; `stop` and `counts` are for any."""

    @abstractmethod
    def send(self, topic: str, values: Sequence[bytes], keys: Sequence[bytes], partitions: Sequence[int]) -> None:
        """Hand over one chunk: record i has `values[i]`, `keys[i]` and goes to `partitions[i]`, in this order.

        Waits while the buffer is full. Every record gets the content-type header of the event contract. Raises
        ValueError when the sequences differ in length, and DeliveryError when this chunk or an earlier one could
        not be delivered; part of the chunk may then have been sent.
        """

    @abstractmethod
    def flush(self, timeout: float = 60.0) -> None:
        """Return when everything sent has been acknowledged. Raises DeliveryError when a record was given up, or
        when some are still unacknowledged after `timeout` seconds."""

    @abstractmethod
    def stop(self, grace: float = 5.0) -> None:
        """From now on no send or flush waits longer than `grace` seconds. Safe in a signal handler."""

    @abstractmethod
    def close(self) -> None:
        """Release the client; what has not been flushed is dropped. Repeating it does nothing."""

    @abstractmethod
    def counts(self) -> ProducerCounts:
        """Where the producer stands now."""

    def __enter__(self) -> MessageProducer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()


def producer_options(
    connection: KafkaConnection, *, buffer_messages: int = 200_000, delivery_timeout: float = 60.0
) -> dict[str, Any]:
    """The settings of the client, in librdkafka's words. `delivery_timeout` in seconds includes all retries."""
    return {
        **connection.client_options(),
        "client.id": "dayone-simulator",
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "zstd",
        "linger.ms": 20,
        "delivery.report.only.error": True,
        "delivery.timeout.ms": int(delivery_timeout * 1000),
        "queue.buffering.max.messages": buffer_messages,
        "queue.buffering.max.kbytes": 128 * 1024,
        "message.max.bytes": 1_000_000,
        "statistics.interval.ms": 1000,
    }


class EventProducer(MessageProducer):
    """The producer on a real broker. Connects in the background: a broker that is away shows at `flush`, or at a
    `send` once the buffer is full or `delivery_timeout` seconds have passed."""

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        buffer_messages: int = 200_000,
        delivery_timeout: float = 60.0,
        logger: logging.Logger | None = None,
    ) -> None:
        from confluent_kafka import KafkaException, Producer

        self._servers = connection.client_options()["bootstrap.servers"]
        self._refused = KafkaException
        self._lock = threading.Lock()
        self._produced = self._failed = self._bytes = 0
        self._latency = 0.0
        self._trouble = ""
        self._connection_trouble = ""
        self._give_up_at = float("inf")
        self._headers = [CONTENT_TYPE_HEADER]
        options = producer_options(connection, buffer_messages=buffer_messages, delivery_timeout=delivery_timeout)
        self._client: Any = Producer(
            {
                **options,
                "logger": ClientLog(logger or logging.getLogger("dayone.kafka.producer")),
                "on_delivery": self._on_failure,
                "error_cb": self._on_error,
                "stats_cb": self._on_statistics,
            }
        )

    def send(self, topic: str, values: Sequence[bytes], keys: Sequence[bytes], partitions: Sequence[int]) -> None:
        """See MessageProducer."""
        if not len(values) == len(keys) == len(partitions):
            raise ValueError(f"{len(values)} values, {len(keys)} keys and {len(partitions)} partitions do not match")
        produce, headers = self._client.produce, self._headers
        rows = iter(values)
        try:
            for value, key, partition in zip(rows, keys, partitions, strict=True):
                try:
                    produce(topic, value, key, partition, None, None, 0, headers)
                except BufferError:
                    self._send_when_room(topic, value, key, partition)
        except self._refused as error:
            self._count(values[: len(values) - length_hint(rows) - 1])
            self._refuse(error, topic, values[len(values) - length_hint(rows) - 1])
        except BaseException:
            self._count(values[: len(values) - length_hint(rows) - 1])
            raise
        self._count(values)
        self._client.poll(0)
        self._raise_trouble()

    def flush(self, timeout: float = 60.0) -> None:
        """See MessageProducer."""
        deadline = time.monotonic() + timeout
        while self._client.flush(SLICE):
            self._raise_trouble()
            if time.monotonic() >= min(deadline, self._give_up_at):
                break
        self._raise_trouble()
        left = len(self._client)
        if left:
            words = self._connection_trouble or "no acknowledgement"
            raise DeliveryError(
                f"{left} records are not acknowledged by Kafka at {self._servers} after {timeout:g} s: {words}.",
                hint="Start the broker again and repeat the same command: the run goes on where the topics end.",
            )

    def stop(self, grace: float = 5.0) -> None:
        """See MessageProducer."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + grace)

    def close(self) -> None:
        """See MessageProducer."""
        client, self._client = self._client, _Closed()
        if not isinstance(client, _Closed):
            client.purge()
            client.flush(0)

    def counts(self) -> ProducerCounts:
        """See MessageProducer."""
        with self._lock:
            return ProducerCounts(self._produced, self._failed, self._bytes, len(self._client), self._latency)

    def _send_when_room(self, topic: str, value: bytes, key: bytes, partition: int) -> None:
        while True:
            self._client.poll(0.002)  # nothing to serve as a rule, so this is a short sleep that Ctrl-C can end
            self._raise_trouble()
            try:
                self._client.produce(topic, value, key, partition, None, None, 0, self._headers)
                return
            except BufferError:
                if time.monotonic() >= self._give_up_at:
                    words = self._connection_trouble or "its buffer stays full"
                    raise DeliveryError(
                        f"Sending to Kafka at {self._servers} was given up while stopping: {words}.",
                        hint="Repeat the same command: the run goes on where the topics end.",
                    ) from None

    def _count(self, values: Sequence[bytes]) -> None:
        size = sum(map(len, values))
        with self._lock:
            self._produced += len(values)
            self._bytes += size

    def _refuse(self, error: Exception, topic: str, value: bytes) -> NoReturn:
        words = _words(error.args[0])
        raise DeliveryError(
            f"Kafka at {self._servers} cannot take a record of {len(value)} bytes for {topic}: {words}.",
            hint="The record begins: " + value[:120].decode(errors="replace"),
        ) from error

    def _raise_trouble(self) -> None:
        if self._trouble:
            raise DeliveryError(
                f"Kafka at {self._servers} did not take {self._failed} records: {self._trouble}.",
                hint="When the broker is well again, repeat the same command: the run goes on where the topics end.",
            )

    def _on_failure(self, error: Any, message: Any) -> None:
        if error is None:
            return
        with self._lock:
            self._failed += 1
        words = _words(error)
        if self._connection_trouble:
            words += f" ({self._connection_trouble})"
        self._trouble = self._trouble or f"{message.topic()} partition {message.partition()}: {words}"

    def _on_error(self, error: Any) -> None:
        if error.fatal():
            self._trouble = self._trouble or _words(error)
        else:
            self._connection_trouble = _words(error)

    def _on_statistics(self, text: str) -> None:
        waits = [
            (broker["int_latency"]["avg"] + broker["outbuf_latency"]["avg"] + broker["rtt"]["avg"]) / 1e6
            for broker in json.loads(text)["brokers"].values()
            if broker["int_latency"]["cnt"]
        ]
        if waits:
            with self._lock:
                self._latency = max(waits)


class ClientLog:
    """What librdkafka gets as its logger: everything to `logging`, the coming and going of connections at debug
    level (whether a connection matters is told by the deliveries), the rest at the level it came with."""

    CONNECTION_NOISE = frozenset({"FAIL", "ERROR", "REQTMOUT", "MAXPOLL", "COORDINATOR", "GETPID"})

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def log(self, level: int, template: str, facility: str = "", *rest: object) -> None:
        """The one method that librdkafka's binding calls."""
        noise = facility in self.CONNECTION_NOISE
        self._logger.log(logging.DEBUG if noise else level, template, facility, *rest)


@dataclass(frozen=True)
class Record:
    """One record as a MemoryProducer keeps it."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = (CONTENT_TYPE_HEADER,)


@dataclass
class MemoryProducer(MessageProducer):
    """The fake: keeps everything in `records`. With `trouble` set, it fails as the real one does when a broker
    gives up: what is sent from then on counts as failed, and the next send or flush raises."""

    records: list[Record] = field(default_factory=list)
    trouble: str = ""
    _failed: int = 0
    _bytes: int = 0
    _closed: bool = False

    def send(self, topic: str, values: Sequence[bytes], keys: Sequence[bytes], partitions: Sequence[int]) -> None:
        """See MessageProducer."""
        if not len(values) == len(keys) == len(partitions):
            raise ValueError(f"{len(values)} values, {len(keys)} keys and {len(partitions)} partitions do not match")
        self._check()
        if self.trouble:
            self._failed += len(values)
            return
        self._bytes += sum(map(len, values))
        rows = zip(partitions, keys, values, strict=True)
        self.records.extend(Record(topic, partition, key, value) for partition, key, value in rows)

    def flush(self, timeout: float = 60.0) -> None:
        """See MessageProducer."""
        self._check()

    def stop(self, grace: float = 5.0) -> None:
        """See MessageProducer; this one never waits."""

    def close(self) -> None:
        """See MessageProducer."""
        self._closed = True

    def counts(self) -> ProducerCounts:
        """See MessageProducer."""
        return ProducerCounts(len(self.records) + self._failed, self._failed, self._bytes)

    def values(self, topic: str) -> list[bytes]:
        """The values sent to `topic`, in order."""
        return [record.value for record in self.records if record.topic == topic]

    def _check(self) -> None:
        if self._closed:
            _Closed.refuse()
        if self._failed:
            raise DeliveryError(f"Kafka did not take {self._failed} records: {self.trouble}.")


class _Closed:
    """Stands where the client of a closed producer was."""

    def __len__(self) -> int:
        return 0

    def __getattr__(self, name: str) -> NoReturn:
        self.refuse()

    @staticmethod
    def refuse() -> NoReturn:
        raise DeliveryError("The producer is closed.")


def _words(error: Any) -> str:
    text = error.str() if hasattr(error, "str") else str(error)
    return str(text or error.name()).rstrip(".")
