"""Who shares the partitions of a product's topics: a consumer group, as the daemon sees it, and the fake that plays it.

The real one is `KafkaGroup` in membership.py. Knows no client library and no database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sinks.batch import Partition, Positions
from sinks.source import MemorySource


class Listener(Protocol):
    """What a group tells its member. Each call is over before the next one comes."""

    async def assigned(self, places: frozenset[Partition]) -> None:
        """These partitions are the member's, and no others, until they are given up."""

    async def given_up(self, *, lost: bool) -> None:
        """Put everything down: when this returns, others may have the partitions. `lost`: they have them already."""


class Group(Protocol):
    """A group of sinks."""

    async def join(self, listener: Listener) -> None:
        """Become a member; the listener hears of partitions soon. BrokerError where that cannot be."""

    async def rejoin(self) -> None:
        """Leave and join anew, unless the group has changed anyhow since the listener was last told something."""

    async def acknowledge(self, positions: Positions) -> None:
        """Tell lag monitors that everything below these positions is kept. Best effort."""

    async def leave(self) -> None:
        """Be a member no more; the listener hears nothing any more. Twice does nothing."""


def by_ranges(partitions: Mapping[str, int], members: int) -> list[frozenset[Partition]]:
    """What each member gets of topics with so many partitions: a range of each topic, as Kafka's `range` assignor does
    it, so that topics with the same partitions are cut in the same places."""
    shares: list[set[Partition]] = [set() for _ in range(members)]
    for topic, count in partitions.items():
        small, larger = divmod(count, members)
        start = 0
        for member, share in enumerate(shares):
            size = small + (member < larger)
            share |= {(topic, number) for number in range(start, start + size)}
            start += size
    return [frozenset(share) for share in shares]


@dataclass
class MemoryCoordinator:
    """The group itself, in memory: its members in the order of joining share the partitions of a MemorySource."""

    source: MemorySource
    members: list[MemoryGroup] = field(default_factory=list)
    acknowledged: dict[Partition, int] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def rebalance(self) -> None:
        """Everybody gives everything up, then gets a share. Members that are `away` are not waited for: they go."""
        async with self._turn:
            await asyncio.gather(
                *(
                    member.listener.given_up(lost=False)
                    for member in self.members
                    if member.listener and not member.away
                )
            )
            self.members = [member for member in self.members if not member.away]
            counts: dict[str, int] = {}
            for topic, _ in self.source.topics:
                counts[topic] = counts.get(topic, 0) + 1
            members = list(self.members)  # who comes meanwhile begins another rebalance
            shares = by_ranges(counts, len(members)) if members else []
            for member, share in zip(members, shares, strict=True):
                if member.listener:
                    await member.listener.assigned(share)


@dataclass
class MemoryGroup:
    """One member. `away` plays a process that was stopped: it is told nothing, until it comes back."""

    coordinator: MemoryCoordinator
    listener: Listener | None = None
    away: bool = False

    async def join(self, listener: Listener) -> None:
        """See Group."""
        self.listener = listener
        self.coordinator.members.append(self)
        await self.coordinator.rebalance()

    async def rejoin(self) -> None:
        """See Group."""
        if self.listener is not None:
            self.away = False
            if self in self.coordinator.members:
                self.coordinator.members.remove(self)
            await self.listener.given_up(lost=True)
            self.coordinator.members.append(self)
            await self.coordinator.rebalance()

    async def acknowledge(self, positions: Positions) -> None:
        """See Group."""
        self.coordinator.acknowledged.update(positions)

    async def leave(self) -> None:
        """See Group."""
        self.listener = None
        if self in self.coordinator.members:
            self.coordinator.members.remove(self)
            await self.coordinator.rebalance()
