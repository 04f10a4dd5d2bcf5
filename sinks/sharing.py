"""A sink that shares partitions with others, all of them writing one lake: what the group tells it, when it ends.

Being given partitions, it claims them in the lake, which makes every claim before void, and reads from where the lake
stands. Told to give them up, it commits what it has read, or drops it where others have the partitions already. Should
it learn of that only from the lake (it was stopped, or out of reach, and has come back), its batch is refused there: it
drops everything and joins the group anew. So what Kafka believes about members is only ever about speed.

It ends like any sink, but looks at what the lake holds of all partitions, not only at its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime
from typing import Any

from personas.errors import BrokerError
from sinks.batch import FINAL, Batch, Partition, covers
from sinks.daemon import Sink
from sinks.group import Group
from sinks.mishaps import Fenced
from sinks.source import Cluster
from sinks.store import Committed

log = logging.getLogger("dayone.sink")

#: So long the lake has to have everything before a sink ends: the embedded broker may tell of the end of a partition
#: that another sink reads a moment late.
OTHERS_SECONDS = 2.0


class SharingSink(Sink):
    """A member of `group`. Everything else is as in Sink."""

    def __init__(self, *arguments: Any, group: Group, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._group = group
        self._changing = asyncio.Lock()
        self._refused = self._rejoining = False
        self._old_runs: dict[str, str] = {}
        self._covered: tuple[dict[Partition, int], float] = ({}, 0.0)

    async def _begin(self, cluster: Cluster) -> None:
        """Join the group, which says what to read."""
        self._cluster_id = cluster.cluster_id
        stored = await self._in_writer(self._store.positions, cluster.cluster_id)
        if covers(stored, cluster.ends):  # what has ended and is stored is not what this sink is to wait for
            told = await self._in_writer(self._store.run_updates, cluster.cluster_id)
            self._old_runs = {run: told[run] for run, state in (await self._run_states()).items() if _ended(*state)}
        self._set_ready(True)
        log.info("joining the other sinks")
        await self._group.join(self)

    async def _leave(self) -> None:
        await self._group.leave()

    async def assigned(self, places: frozenset[Partition]) -> None:
        """See Listener."""
        async with self._changing:
            self._refused = self._rejoining = False
            try:
                cluster = await self._described(places)
                if self._error is None:
                    await self._subscribe(cluster, places)
            except Exception as error:  # noqa: BLE001 - handed on: it ends the sink
                self._fail(error)

    async def _described(self, places: frozenset[Partition]) -> Cluster:
        """The cluster, once it tells of all these partitions."""
        deadline = time.monotonic() + self._limits.connect_seconds
        while True:
            try:
                cluster = await self._source.describe(5.0)
                if places <= cluster.bounds.keys():
                    return cluster
            except BrokerError:
                if time.monotonic() >= deadline:
                    raise
            if time.monotonic() >= deadline:
                raise BrokerError(
                    "Kafka gives partitions of which it tells nothing else.", hint="Start the sink again."
                )
            await self._sleep()

    async def given_up(self, *, lost: bool) -> None:
        """See Listener."""
        async with self._changing:
            self._refused = self._refused or lost
            self._rejoining = self._rejoining or lost  # the group will have us again by itself
            await self._put_down()
            self._read, self._kept = {}, {}

    async def _flush(self) -> None:
        if self._refused:
            list(self._gatherer.take())
        else:
            await super()._flush()

    async def _write(self, batch: Batch) -> None:
        if not self._refused:
            await super()._write(batch)

    async def _commit(self, batch: Batch) -> Committed | None:
        """The transaction; None where others have taken partitions over, and nothing of the batch was written."""
        if self._refused:
            return None
        try:
            return await super()._commit(batch)
        except Fenced as error:
            log.warning("%s %d messages are left to them.", error.message, batch.messages)
            self.report.refused += 1
            self._telemetry.refused.inc()
            self._refused = True
            self._wake.set()
            return None

    async def _look(self) -> Cluster | None:
        if self._refused and not self._rejoining:
            self._rejoining = True
            self._wake.clear()
            await self._source.stop()
            await self._group.rejoin()
        return await super()._look()

    def _changed(self, cluster: Cluster) -> bool:
        """New partitions are the group's to give; another cluster is followed at once."""
        return cluster.cluster_id != self._cluster_id

    async def _follow(self, cluster: Cluster) -> None:
        """The group of another cluster is another group."""
        await self._group.leave()
        await self.given_up(lost=False)
        self._cluster_id = cluster.cluster_id
        if self._error is None:
            await self._group.join(self)

    async def _acknowledge(self, batch: Batch) -> None:
        await self._group.acknowledge(batch.next_offsets)

    async def _run_states(self) -> dict[str, tuple[int, dict[int, str]]]:
        return await self._in_writer(self._store.run_states, self._cluster_id)

    async def _runs_final(self) -> bool:
        """As the lake has it: another sink may have read the manifests."""
        if not self._until_completed or self._lags():
            return False
        states = await self._run_states()
        told = {}
        if self._old_runs or self._after is not None:
            told = await self._in_writer(self._store.run_updates, self._cluster_id)
        if (after := self._after) is not None:
            states = {run: state for run, state in states.items() if datetime.fromisoformat(told[run]) >= after}
        for run in [run for run, update in self._old_runs.items() if run in self._shards or told.get(run) != update]:
            del self._old_runs[run]
        waited_for = [state for run, state in states.items() if run not in self._old_runs]
        waited_for = [states[run] for run in states if run == self._only_run] if self._only_run else waited_for
        return bool(waited_for) and all(_ended(*state) for state in waited_for)

    def _lags(self) -> bool:
        return self._kept != self._read

    async def _reached(self, goal: dict[Partition, int]) -> bool:
        """Told to stop, a sink drains what is its own; completed is what the lake has of all."""
        if self._stop_reason:
            return self._idle() or all(kept >= goal.get(place, 0) for place, kept in self._kept.items())
        if not covers(await self._in_writer(self._store.positions, self._cluster_id), goal):
            self._covered = ({}, 0.0)
            return False
        if self._covered[0] != goal:
            self._covered = (dict(goal), time.monotonic())
        return time.monotonic() - self._covered[1] >= OTHERS_SECONDS


def _ended(shards: int, states: dict[int, str]) -> bool:
    return len(states) >= shards and set(states.values()) <= FINAL
