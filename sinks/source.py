"""What the daemon needs of Kafka, as a protocol, and the fake that plays it in memory.

The real one is `KafkaSource` in subscriber.py. Knows no client library and no database.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from personas.errors import BrokerError
from sinks.batch import DeadLetter, Messages, Partition, Positions

#: Takes the messages of one fetch, one `Messages` per topic. What it raises ends the source.
Handler = Callable[[Sequence[Messages]], Awaitable[None]]


@dataclass(frozen=True)
class Cluster:
    """A Kafka cluster as it is now: its id, and of each wanted topic that exists the first offset still there and
    the next offset to be written, by partition. Unless `exact`, there may be a few more messages than that."""

    cluster_id: str
    bounds: Mapping[Partition, tuple[int, int]]
    exact: bool = True

    @property
    def ends(self) -> dict[Partition, int]:
        """The next offset to be written, by partition."""
        return {place: after for place, (_, after) in self.bounds.items()}

    def missing(self, topics: Sequence[str]) -> list[str]:
        """Those of the topics that do not exist yet."""
        present = {topic for topic, _ in self.bounds}
        return [topic for topic in topics if topic not in present]


class Source(Protocol):
    """Where messages come from."""

    async def describe(self, timeout: float) -> Cluster:
        """The cluster now; BrokerError where it does not answer within `timeout` seconds."""

    async def start(self, positions: Positions, handler: Handler, failed: Callable[[BaseException], None]) -> None:
        """Read exactly these partitions from these offsets; `failed` is called at most once, and ends reading."""

    async def acknowledge(self, positions: Positions) -> None:
        """Tell the group, for lag monitors, that everything below these positions is kept. Best effort."""

    async def publish_dead(self, letters: Sequence[DeadLetter]) -> None:
        """Put letters on their topics' dead-letter topics; returns when the broker has them."""

    async def stop(self) -> None:
        """Stop reading; what was read and not yet handled is dropped. `start` may follow."""


@dataclass
class MemorySource:
    """A cluster in memory: a list of (key, value) per partition. `away` plays a broker that does not answer."""

    topics: dict[Partition, list[tuple[bytes | None, bytes | None]]] = field(default_factory=dict)
    cluster_id: str = "memory"
    batch_rows: int = 1000
    away: bool = False
    acknowledged: dict[Partition, int] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None

    def append(self, topic: str, partition: int, *records: tuple[bytes | None, bytes | None]) -> None:
        """Put records on a partition, which comes into being with the first (or with none)."""
        self.topics.setdefault((topic, partition), []).extend(records)

    async def describe(self, timeout: float) -> Cluster:
        """See Source."""
        if self.away:
            await asyncio.sleep(min(timeout, 0.01))
            raise BrokerError("memory: the broker does not answer.")
        return Cluster(self.cluster_id, {place: (0, len(records)) for place, records in self.topics.items()})

    async def start(self, positions: Positions, handler: Handler, failed: Callable[[BaseException], None]) -> None:
        """See Source."""
        self._task = asyncio.create_task(self._read(dict(positions), handler, failed))

    async def _read(
        self, positions: dict[Partition, int], handler: Handler, failed: Callable[[BaseException], None]
    ) -> None:
        try:
            while True:
                batch = [] if self.away else self._fetch(positions)
                if batch:
                    await handler(batch)
                await asyncio.sleep(0 if batch else 0.002)
        except Exception as error:  # noqa: BLE001 - handed on, as the contract of Source says
            failed(error)

    def _fetch(self, positions: dict[Partition, int]) -> list[Messages]:
        fetched: dict[str, list[tuple[int, int, bytes | None, bytes | None]]] = {}
        left = self.batch_rows
        for (topic, partition), position in positions.items():
            records = self.topics.get((topic, partition), [])[position : position + left]
            for offset, (key, value) in enumerate(records, position):
                fetched.setdefault(topic, []).append((partition, offset, key, value))
            positions[topic, partition] += len(records)
            left -= len(records)
        return [Messages(topic, *zip(*rows, strict=True)) for topic, rows in fetched.items()]

    async def acknowledge(self, positions: Positions) -> None:
        """See Source."""
        self.acknowledged.update(positions)

    async def publish_dead(self, letters: Sequence[DeadLetter]) -> None:
        """See Source."""
        self.dead += letters

    async def stop(self) -> None:
        """See Source."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
