"""Bulk production onto a real broker: whole record batches, in order, with a bounded buffer and no silent loss.

May know records as bytes and nothing of what they say. FastStream's own publisher
waits for a confirmation per message (4 to 60 thousand a second), so bulk goes past it. Two ways were weighed, measured
with the messages of a run, processor time of all threads per record: a call of confluent-kafka per record, 4.3
microseconds (`produce_batch` the same, and without headers); or ready-made batches (`simulator.records`) given to the
sender of kafka-python, 1.5. That sender follows the one of the Java client: idempotent, one batch of a
partition in flight, retries with the same sequence number until the delivery timeout. It takes batches only from its
own accumulator, so they are put there: `_hand_over` is the one place that knows the inside of kafka-python.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from personas.connection import KafkaConnection
from personas.errors import DeliveryError
from simulator.memory_producer import MemoryProducer, Record
from simulator.message_producer import Bytes, MessageProducer, Numbers, ProducerCounts, check_lengths, refuse_closed
from simulator.records import ReadyRecords, RecordBatch, record_batches
from simulator.sender import connected, sender_options, trouble_of, unreachable
from simulator.views import lengths, viewed

__all__ = ["EventProducer", "MemoryProducer", "MessageProducer", "ProducerCounts", "Record", "sender_options"]

#: How long one wait lasts at most, in seconds: what Ctrl-C or `stop` may have to wait for.
SLICE = 0.05
#: The longest value in bytes: brokers refuse batches of more than 1 MB by default.
LARGEST_VALUE = 1_000_000


class EventProducer(MessageProducer):
    """The producer on a real broker. Connects when there is something to send: a broker that is away shows at a `send`
    or `flush` once nothing has been acknowledged for `delivery_timeout` seconds; then all that waits is given up.

    Nothing is sent to a cluster other than `cluster_id`; None is the first that answers.

    At most `buffer_messages` records wait for their acknowledgement. When one batch is given up, so are those behind
    it: what a partition holds is a beginning of what was sent to it, which a run that goes on relies on. Therefore no
    batch times out alone, and one that follows a cluster which lacks the earlier ones is not sent.
    """

    def __init__(
        self, connection: KafkaConnection, *, buffer_messages: int = 200_000, delivery_timeout: float = 60.0,
        cluster_id: str | None = None,
    ) -> None:  # fmt: skip
        self._connection, self._servers = connection, connection.servers
        self._options = sender_options(connection)
        self._most, self._timeout = buffer_messages, delivery_timeout
        self._sender: Any = None
        self._closed = False
        self._waiting: list[tuple[str, RecordBatch]] = []
        self._partitions: dict[str, set[int]] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._cluster = cluster_id
        self._changed = threading.Condition()
        self._produced = self._failed = self._bytes = self._queued = 0
        self._progress_at, self._latency = time.monotonic(), 0.0
        self._trouble = ""
        self._give_up_at = float("inf")

    def send(self, topic: str, values: Bytes, keys: Bytes, partitions: Numbers) -> None:
        """See MessageProducer."""
        check_lengths(values, keys, partitions)
        self._wait(lambda: True)
        data, names, rows = viewed(values), viewed(keys), np.asarray(partitions, dtype=np.int64)
        too_long = np.flatnonzero(lengths(data) > LARGEST_VALUE)
        good = int(too_long[0]) if len(too_long) else len(rows)
        for batch in record_batches(data.slice(0, good), names.slice(0, good), rows[:good], self._most):
            self._await_room(batch.count)
            self._put(topic, batch)
        self._wake()
        self._raise_trouble()
        if len(too_long):
            value = data[good].as_py()
            raise DeliveryError(
                f"A record of {len(value)} bytes for {topic} is too large: {LARGEST_VALUE} bytes at most.",
                hint="The record begins: " + value[:120].decode(errors="replace"),
            )

    def flush(self, timeout: float = 60.0) -> None:
        """See MessageProducer."""
        deadline = time.monotonic() + timeout
        while self._wait(lambda: self._queued == 0):
            if time.monotonic() >= min(deadline, self._give_up_at):
                break
        if self._queued:
            raise DeliveryError(
                f"{self._queued} records are not acknowledged by Kafka at {self._servers} after {timeout:g} s: "
                f"{trouble_of(self._connection) or 'no acknowledgement'}.",
                hint="Start the broker again and repeat the same command: the run goes on where the topics end.",
            )

    def stop(self, grace: float = 5.0) -> None:
        """See MessageProducer."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + grace)

    def close(self) -> None:
        """See MessageProducer."""
        from kafka.errors import KafkaError

        sender, self._sender, self._closed = self._sender, None, True
        self._waiting.clear()
        with self._changed:
            self._queued = 0
        if sender is not None:
            sender._accumulator.abort_undrained_batches(RuntimeError("closed"))
            sender._sender.force_close()
            with contextlib.suppress(KafkaError):  # what is still on its way is given up, and that was told
                sender.close(timeout=0)

    def counts(self) -> ProducerCounts:
        """See MessageProducer."""
        with self._changed:
            return ProducerCounts(self._produced, self._failed, self._bytes, self._queued, self._latency)

    def _await_room(self, count: int) -> None:
        while self._wait(lambda: self._queued == 0 or self._queued + count <= self._most):
            if time.monotonic() >= self._give_up_at:
                raise DeliveryError(
                    f"Sending to Kafka at {self._servers} was given up while stopping: "
                    f"{trouble_of(self._connection) or 'its buffer stays full'}.",
                    hint="Repeat the same command: the run goes on where the topics end.",
                )

    def _wait(self, done: Callable[[], bool]) -> bool:
        """Wait for a moment, short enough for Ctrl-C; whether it is still not `done`. DeliveryError on trouble."""
        if self._closed:
            refuse_closed()
        self._connect()
        if not done():
            self._wake()
        with self._changed:
            waiting = not self._changed.wait_for(lambda: done() or bool(self._trouble), SLICE)
            late = self._queued > 0 and time.monotonic() > self._progress_at + self._timeout
        if late:
            why = trouble_of(self._connection) or "no answer"
            self._give_up(f"nothing acknowledged for {self._timeout:g} s: {why}")
        self._raise_trouble()
        return waiting

    def _connect(self) -> None:
        """Connect if that is still to be done and can be, and hand over what waits for it."""
        if self._sender is None and self._waiting and not unreachable(self._connection):
            self._sender = connected(self._options, self._on_metadata)
            while self._sender is not None and self._waiting:
                self._hand_over(*self._waiting.pop(0))

    def _put(self, topic: str, batch: RecordBatch) -> None:
        with self._changed:
            if not self._queued:
                self._progress_at = time.monotonic()  # a pause is no silence of the broker
            self._produced += batch.count
            self._bytes += batch.size
            self._queued += batch.count
        if self._sender is not None:
            self._hand_over(topic, batch)
        else:
            self._waiting.append((topic, batch))
            self._connect()

    def _hand_over(self, topic: str, batch: RecordBatch) -> None:
        """Put the batch at the end of its partition's queue in kafka-python's sender."""
        from kafka import TopicPartition
        from kafka.producer.producer_batch import ProducerBatch

        if batch.partition not in self._partitions_of(topic):
            self._give_up(f"{topic} partition {batch.partition}: Unknown partition")
            return
        since, partition = time.monotonic(), TopicPartition(topic, batch.partition)
        waiting = ProducerBatch(partition, ReadyRecords(batch))
        waiting.produce_future.add_callback(lambda outcome: self._on_outcome(topic, batch, since, outcome))
        accumulator = self._sender._accumulator
        with self._changed, accumulator._tp_lock(partition):
            if self._trouble:
                return
            accumulator._incomplete.add(waiting)
            accumulator._batches[partition].append(waiting)

    def _wake(self) -> None:
        """Let the sender look at what was handed over: once for many batches, since every request costs it a
        millisecond, however many batches of however many partitions are in it."""
        if self._sender is not None:
            self._sender._sender.wakeup()

    def _partitions_of(self, topic: str) -> set[int]:
        from kafka.errors import KafkaError

        if topic not in self._partitions:
            try:
                self._partitions[topic] = self._sender.partitions_for(topic)
            except KafkaError as error:
                self._give_up(f"{topic}: {type(error).__name__}: {error}")
        return self._partitions.get(topic, set())

    def _on_outcome(self, topic: str, batch: RecordBatch, since: float, outcome: tuple[Any, Any, Any]) -> None:
        """Called by the sender's thread when a batch was acknowledged or given up."""
        offset, _, error_of = outcome
        place = (topic, batch.partition)
        if error_of is not None:
            error = error_of(0)
            if type(error).__name__ == "UnknownProducerIdError":
                self._on_other_cluster()
            self._give_up(f"{topic} partition {batch.partition}: {type(error).__name__}: {str(error).rstrip('.')}")
        elif 0 <= offset < self._ends.get(place, 0):
            self._on_other_cluster()
        else:
            with self._changed:
                if not self._trouble:
                    self._queued -= batch.count
                self._ends[place] = offset + batch.count
                self._progress_at = time.monotonic()
                self._latency += 0.2 * (self._progress_at - since - self._latency)
                self._changed.notify_all()

    def _on_metadata(self, cluster: Any) -> None:
        """Called by the sender's thread whenever it has learnt where the partitions are."""
        self._cluster = self._cluster or cluster.cluster_id
        if cluster.cluster_id != self._cluster:
            self._on_other_cluster()

    def _on_other_cluster(self) -> None:
        """Who answers now lacks what was sent before; what is still to come must not be put there behind a gap."""
        self._give_up("another cluster answers at this address, without what was sent before")

    def _give_up(self, words: str) -> None:
        """From now on nothing more is sent, and everything that is not acknowledged counts as failed."""
        with self._changed:
            if self._trouble:
                return
            self._trouble = words
            self._failed, self._queued = self._failed + self._queued, 0
            self._changed.notify_all()
        if self._sender is not None:
            self._sender._accumulator.abort_undrained_batches(RuntimeError(words))

    def _raise_trouble(self) -> None:
        if self._trouble:
            raise DeliveryError(
                f"Kafka at {self._servers} did not take {self._failed or 'all'} records: {self._trouble}.",
                hint="When the broker is well again, repeat the same command: the run goes on where the topics end.",
            )
