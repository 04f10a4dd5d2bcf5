"""The producer that keeps everything: the fake shipped beside the real one, for tests and for playing without Kafka."""

from __future__ import annotations

from dataclasses import dataclass, field

from personas.errors import DeliveryError
from personas.event import CONTENT_TYPE_HEADER
from simulator.message_producer import (
    Bytes,
    MessageProducer,
    Numbers,
    ProducerCounts,
    check_lengths,
    python_bytes,
    refuse_closed,
)


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

    def send(self, topic: str, values: Bytes, keys: Bytes, partitions: Numbers) -> None:
        """See MessageProducer."""
        check_lengths(values, keys, partitions)
        self._check()
        if self.trouble:
            self._failed += len(values)
            return
        for value, key, partition in zip(python_bytes(values), python_bytes(keys), partitions, strict=True):
            self._bytes += len(value)
            self.records.append(Record(topic, int(partition), key, value))

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
            refuse_closed()
        if self._failed:
            raise DeliveryError(f"Kafka did not take {self._failed} records: {self.trouble}.")
