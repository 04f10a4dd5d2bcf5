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

import contextlib
import json
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import length_hint
from typing import Any, NoReturn

from personas.connection import KafkaConnection
from personas.errors import DeliveryError
from personas.event import CONTENT_TYPE_HEADER
from simulator.client_log import ClientLog, words_of
from simulator.message_producer import MessageProducer, ProducerCounts

__all__ = ["EventProducer", "MemoryProducer", "MessageProducer", "ProducerCounts", "Record", "producer_options"]

#: How long one wait for the client lasts at most, in seconds: what Ctrl-C or `stop` may have to wait for.
SLICE = 0.05


def producer_options(connection: KafkaConnection, *, buffer_messages: int = 200_000) -> dict[str, Any]:
    """The settings of the client, in librdkafka's words."""
    return {
        **connection.client_options(),
        "client.id": "dayone-simulator",
        "enable.idempotence": True,
        # What comes after a record that was given up must not arrive either: a run that goes on from the last record of
        # a partition would never fill the gap. The guarantee is for what the broker refuses; it does not cover records
        # that time out, so the client knows no timeout, and we give up on all records at once (`_serve`).
        "enable.gapless.guarantee": True,
        "delivery.timeout.ms": 0,
        "allow.auto.create.topics": False,  # a replaced broker must not make them with its own idea of partitions
        "acks": "all",
        "compression.type": "zstd",
        "linger.ms": 20,
        "delivery.report.only.error": True,
        "reconnect.backoff.max.ms": 1_000,
        "queue.buffering.max.messages": buffer_messages,
        "queue.buffering.max.kbytes": 128 * 1024,
        "message.max.bytes": 1_000_000,
        "statistics.interval.ms": 1000,
    }


class EventProducer(MessageProducer):
    """The producer on a real broker. Connects in the background: a broker that is away shows at a `send` or `flush`
    once nothing has been acknowledged for `delivery_timeout` seconds; then all that waits is given up."""

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        buffer_messages: int = 200_000,
        delivery_timeout: float = 60.0,
        logger: logging.Logger | None = None,
    ) -> None:
        from confluent_kafka import KafkaError, KafkaException, Producer

        self._servers = connection.client_options()["bootstrap.servers"]
        self._refused, self._fatal = KafkaException, KafkaError._FATAL
        self._lock = threading.Lock()
        self._produced = self._failed = self._bytes = 0
        self._latency = 0.0
        self._trouble = ""
        self._connection_trouble = ""
        self._give_up_at = float("inf")
        self._headers = [CONTENT_TYPE_HEADER]
        self._timeout = delivery_timeout
        self._acknowledged, self._progress_at = 0, time.monotonic()
        options = producer_options(connection, buffer_messages=buffer_messages)
        self._client: Any = Producer(
            {
                **options,
                "logger": ClientLog(logger or logging.getLogger("dayone.kafka.producer"), self._on_other_cluster),
                "on_delivery": self._on_failure,
                "error_cb": self._on_error,
                "stats_cb": self._on_statistics,
            }
        )

    def send(self, topic: str, values: Sequence[bytes], keys: Sequence[bytes], partitions: Sequence[int]) -> None:
        """See MessageProducer."""
        if not len(values) == len(keys) == len(partitions):
            raise ValueError(f"{len(values)} values, {len(keys)} keys and {len(partitions)} partitions do not match")
        self._serve(0)  # what was acknowledged since the last call counts before the clock runs on
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
            self._serve(0)  # where the error is fatal, that comes first
            self._refuse(error, topic, values[len(values) - length_hint(rows) - 1])
        except BaseException:
            self._count(values[: len(values) - length_hint(rows) - 1])
            raise
        self._count(values)
        self._serve(0)

    def flush(self, timeout: float = 60.0) -> None:
        """See MessageProducer."""
        deadline = time.monotonic() + timeout
        while self._serve(SLICE, flush=True):
            if time.monotonic() >= min(deadline, self._give_up_at):
                break
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
            with contextlib.suppress(self._refused):  # after a fatal error, which has been told, even this raises
                client.flush(0)

    def counts(self) -> ProducerCounts:
        """See MessageProducer."""
        with self._lock:
            return ProducerCounts(self._produced, self._failed, self._bytes, len(self._client), self._latency)

    def _send_when_room(self, topic: str, value: bytes, key: bytes, partition: int) -> None:
        while True:
            self._serve(0.002)  # nothing to serve as a rule, so this is a short sleep that Ctrl-C can end
            try:
                self._client.produce(topic, value, key, partition, None, None, 0, self._headers)
                self._progress_at = time.monotonic()  # there is room since something was acknowledged
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
        words = words_of(error.args[0])
        raise DeliveryError(
            f"Kafka at {self._servers} cannot take a record of {len(value)} bytes for {topic}: {words}.",
            hint="The record begins: " + value[:120].decode(errors="replace"),
        ) from error

    def _raise_trouble(self) -> None:
        if self._trouble:
            raise DeliveryError(
                f"Kafka at {self._servers} did not take {self._failed or 'all'} records: {self._trouble}.",
                hint="When the broker is well again, repeat the same command: the run goes on where the topics end.",
            )

    def _serve(self, seconds: float, *, flush: bool = False) -> int:
        """Let the client report for so long; the number of records not acknowledged yet. DeliveryError on trouble."""
        try:
            (self._client.flush if flush else self._client.poll)(seconds)
        except self._refused as error:  # fatal: the client takes nothing more
            self._trouble = self._trouble or words_of(error.args[0])
            self._raise_trouble()
        left = len(self._client)
        if not left or self._produced - left > self._acknowledged:
            self._acknowledged, self._progress_at = self._produced - left, time.monotonic()
        elif time.monotonic() > self._progress_at + self._timeout:
            self._trouble = f"nothing acknowledged for {self._timeout:g} s: {self._connection_trouble or 'no answer'}"
            self._client.purge()
            with contextlib.suppress(self._refused):
                self._client.flush(SLICE)  # counts what was given up
        self._raise_trouble()
        return left

    def _on_other_cluster(self) -> None:
        """Who answers now lacks what was sent before; what is still to come must not be put there behind a gap."""
        self._trouble = self._trouble or "another cluster answers at this address, without what was sent before"

    def _on_failure(self, error: Any, message: Any) -> None:
        if error is None:
            return
        with self._lock:
            self._failed += 1
        words = words_of(error)
        if self._connection_trouble:
            words += f" ({self._connection_trouble})"
        self._trouble = self._trouble or f"{message.topic()} partition {message.partition()}: {words}"

    def _on_error(self, error: Any) -> None:
        if error.fatal():
            self._trouble = self._trouble or words_of(error)
        elif error.name() != "_ALL_BROKERS_DOWN" or not self._connection_trouble:  # that one never says why
            self._connection_trouble = words_of(error)

    def _on_statistics(self, text: str) -> None:
        waits = [
            (broker["int_latency"]["avg"] + broker["outbuf_latency"]["avg"] + broker["rtt"]["avg"]) / 1e6
            for broker in json.loads(text)["brokers"].values()
            if broker["int_latency"]["cnt"]
        ]
        if waits:
            with self._lock:
                self._latency = max(waits)


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
