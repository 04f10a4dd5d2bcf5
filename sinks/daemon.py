"""The running sink: reads batches, commits them, and knows when to end.

Holds the pieces together: a source (Kafka or the fake), a decoder, a store, metrics. It knows none of their
libraries. Fetches are decoded and gathered (see gather.py) on the event loop while the transaction before is written in
a thread (DuckDB lets go of the interpreter lock), so at most two batches are in memory besides what the client
prefetches.

The order for each batch: decode, dead letters to their topics, transaction (rows, dead letters, offsets), then
acknowledge. Whatever fails stops the sink with that error, and nothing of the batch is acknowledged.

A sink of this kind reads every partition; one that shares them with others is in sharing.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from personas.errors import BrokerError
from sinks.batch import FINAL, Batch, Messages, Partition, covers
from sinks.ending import Goal
from sinks.gather import DEFAULT_BOUNDS, Bounds, Gatherer
from sinks.ingest import Decoder
from sinks.report import Report
from sinks.source import Cluster, Source
from sinks.start import cluster_with, stopped_by_signals
from sinks.store import Committed, Store
from sinks.telemetry import Telemetry

log = logging.getLogger("dayone.sink")

#: So long without a message while the broker says there are some: they are markers that no reader is given.
_IDLE_SECONDS = 10.0
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Limits:
    """Bounds in seconds: waiting for a broker at the start, draining at the end, and between looks at the lag."""

    connect_seconds: float = 30.0
    drain_seconds: float = 30.0
    look_seconds: float = 0.5


class Sink:
    """One sink process' work. `run()` once; `request_stop()` from any thread ends it after draining."""

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        store: Store,
        telemetry: Telemetry,
        *,
        limits: Limits = Limits(),
        bounds: Bounds = DEFAULT_BOUNDS,
        until_completed: bool = False,
        only_run: str | None = None,
        after: datetime | None = None,
        on_commit: Callable[[Report], None] = lambda report: None,
    ) -> None:
        self.report = Report()
        self._source, self._decoder, self._store, self._telemetry = source, decoder, store, telemetry
        self._limits = limits
        self._until_completed = until_completed
        self._only_run, self._after = only_run, after  # ends told before `after` count for nothing
        self._on_commit = on_commit
        self._cluster_id = ""
        self._read: dict[Partition, int] = {}  # decoded, perhaps not committed yet
        self._kept: dict[Partition, int] = {}  # committed
        self._first: dict[Partition, int] = {}  # where the partitions begin
        self._gatherer = Gatherer(decoder, bounds)
        self._turn = asyncio.Lock()
        self._pending: asyncio.Task[None] | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._error: BaseException | None = None
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_reason = ""
        self._abort = False
        self._goal = Goal()
        self._shards: dict[str, tuple[int, dict[int, str]]] = {}
        self._last_arrival = 0.0
        self._answering = False

    @property
    def ready(self) -> bool:
        """Whether the sink reads, and its broker answered when last asked."""
        return self._answering and self._error is None

    def request_stop(self, reason: str) -> None:
        """End after draining; a second request ends at once. From any thread; before `run` it is remembered."""

        def note() -> None:
            self._abort = bool(self._stop_reason)
            self._stop_reason = self._stop_reason or reason
            self._wake.set()

        if self._loop is None:
            note()
        else:
            self._loop.call_soon_threadsafe(note)

    async def run(self, *, handle_signals: bool = False) -> Report:
        """Read until told to stop, or until the runs are completed. BrokerError, StoreError and the like end it."""
        self._loop = asyncio.get_running_loop()
        with stopped_by_signals(self.request_stop, self._loop) if handle_signals else contextlib.nullcontext():
            try:
                cluster = await cluster_with(
                    self._decoder.topics, self._source, self._limits.connect_seconds,
                    stopped=lambda: bool(self._stop_reason), pause=self._sleep,
                )  # fmt: skip
                if cluster is not None:
                    await self._begin(cluster)
                    await self._watch()
            finally:
                self._set_ready(False)
                await self._source.stop()
                await self._settle()
                await self._leave()
                self._writer.shutdown()
        if self._error is not None:
            raise self._error
        self.report.ended = self._stop_reason or "completed"
        return self.report

    async def _sleep(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), self._limits.look_seconds)

    async def _in_writer(self, function: Callable[..., _Answer], *arguments: object) -> _Answer:
        """Call a function of the store in its thread, between transactions."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, function, *arguments)

    async def _begin(self, cluster: Cluster) -> None:
        """Begin reading: here, everything there is."""
        await self._subscribe(cluster, cluster.bounds)

    async def _leave(self) -> None:
        """Reading is over, and everything settled."""

    async def _subscribe(self, cluster: Cluster, places: Collection[Partition]) -> None:
        """Read these partitions from the offsets that the database holds, and write them alone from now on."""
        known = await self._in_writer(self._store.claim, places, cluster.cluster_id)
        start: dict[Partition, int] = {}
        for place in places:
            first, _ = cluster.bounds[place]
            start[place] = known.get(place, first)
            if start[place] < first:
                log.warning("%s/%d: messages %d to %d are no longer on the broker", *place, start[place], first - 1)
                start[place] = first
        self._cluster_id = cluster.cluster_id
        self._read, self._kept = dict(start), dict(start)
        self._first = {place: first for place, (first, _) in cluster.bounds.items()}
        behind = sum(self._lag(cluster).values())
        found = await self._in_writer(self._store.run_states, cluster.cluster_id)
        for run_id, (shards, states) in found.items():
            if (behind and self._after is None) or not set(states.values()) <= FINAL:
                self._shards.setdefault(run_id, (shards, {}))[1].update(states)
        await self._source.start(start, self._take, self._fail)
        self._set_ready(True)
        self._last_arrival = time.monotonic()
        log.info("reading %d partitions, %d messages behind", len(start), behind)

    async def _take(self, messages: Sequence[Messages]) -> None:
        """Decode a fetch; a batch that is due with it goes to the writer once the one before is kept."""
        if self._error is not None:
            return
        if not self.report.messages:
            self.report.first_message = time.monotonic()
            self._store.begin_ingest()
        self._last_arrival = time.monotonic()
        self._notice_new_topics(messages)
        self.report.messages += sum(map(len, messages))
        for batch in self._gatherer.add(messages, self._read):
            await self._write(batch)
        if self._gatherer.due() or self._goal.passed(self._read):
            await self._flush()

    async def _flush(self) -> None:
        for batch in self._gatherer.take():
            await self._write(batch)

    async def _write(self, batch: Batch) -> None:
        """Begin the transaction of a batch once the one before is kept. In the order of the calls."""
        async with self._turn:
            await self._settle()
            if self._error is None:
                self._pending = asyncio.create_task(self._keep(batch))
                self._pending.add_done_callback(self._note_failure)

    def _notice_new_topics(self, messages: Sequence[Messages]) -> None:
        """A partition that begins again was made anew: its messages are new, whatever was read of the old one."""
        for given in messages:
            for partition, offset in given.firsts.items():
                place = (given.topic, partition)
                if offset <= self._first.get(place, 0) and offset < self._read.get(place, 0):
                    log.warning("%s/%d begins again at %d: it was made anew", *place, offset)
                    self._read[place] = offset

    async def _keep(self, batch: Batch) -> None:
        """Dead letters, transaction, acknowledgement: in this order."""
        if batch.dead_letters:
            await self._source.publish_dead(batch.dead_letters)
        begun = time.monotonic()
        committed = await self._commit(batch)
        if committed is None:
            return
        self._kept.update(batch.next_offsets)
        now = time.monotonic()
        report = self.report
        report.last_commit = now
        report.batches += 1
        report.dead_letters += len(batch.dead_letters)
        for totals, counts in ((report.rows, committed.rows), (report.duplicates, committed.duplicates)):
            for name, count in counts.items():
                totals[name] = totals.get(name, 0) + count
        for manifest in batch.manifests:
            if self._after is not None and manifest.updated < self._after:
                continue
            self._shards.setdefault(manifest.run_id, (manifest.shards, {}))[1][manifest.shard] = manifest.state
        size = await self._in_writer(self._store.size_bytes)  # of a lake it is asked by SQL, too
        self._telemetry.committed(batch, committed, now - begun, size)
        if batch.dead_letters:
            log.warning("%d messages became dead letters", len(batch.dead_letters),
                        extra={"reasons": sorted({letter.reason for letter in batch.dead_letters})})  # fmt: skip
        await self._acknowledge(batch)
        self._on_commit(report)
        if self._goal.passed(self._kept) or any(manifest.state in FINAL for manifest in batch.manifests):
            self._wake.set()  # it may be time to end: no need to wait for the next look

    async def _acknowledge(self, batch: Batch) -> None:
        await self._source.acknowledge(batch.next_offsets)

    async def _commit(self, batch: Batch) -> Committed | None:
        """The transaction; None where the batch is dropped instead."""
        return await self._in_writer(self._store.commit, batch, self._cluster_id)

    async def _settle(self) -> None:
        """Wait for the transaction under way, or begun meanwhile; no await: who is cancelled must not cancel it."""
        while self._pending is not None and not self._pending.done():
            await asyncio.wait({self._pending})
        self._note_failure(self._pending)

    def _note_failure(self, task: asyncio.Task[None] | None) -> None:
        if task is not None and not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self._wake.set()

    async def _watch(self) -> None:
        """Look at the lag now and then, until it is time to end."""
        deadline = 0.0
        while self._error is None and not self._abort:
            self._wake.clear()  # what was asked for so far is seen below; what is asked for from here on wakes again
            # Both before looking, so that what was on the topics when they came true is below the ends that are seen.
            runs_final, stopping = await self._runs_final(), bool(self._stop_reason)
            ending = stopping or (self._until_completed and runs_final)
            reached = ending and await self._arrived()
            if reached and self._goal.sure:
                return
            cluster = await self._look()
            if cluster is None or not ending:
                self._goal.forget()
            elif cluster.exact or self._idle():
                self._goal.set(cluster.ends, reached=reached, stopping=stopping)
                if await self._arrived():
                    if self._goal.sure:
                        return
                    continue  # look again, at once
            if self._gatherer.due() or self._goal.passed(self._read):
                await self._flush()
            if self._stop_reason:
                deadline = deadline or time.monotonic() + self._limits.drain_seconds
                if time.monotonic() >= deadline:
                    log.warning("stopping with messages left on the topics: the time to drain them is over")
                    return
            await self._sleep()

    async def _arrived(self) -> bool:
        """Whether there is a goal to end at, and all below it is kept."""
        self.report.drained = self._goal.ends is not None and await self._reached(self._goal.ends)
        return self.report.drained

    async def _runs_final(self) -> bool:
        """Whether there is a run, and all shards of every run (or of the only one that is waited for) have ended."""
        runs = [state for run, state in self._shards.items() if self._only_run in (None, run)]
        return bool(runs) and all(len(states) >= shards and set(states.values()) <= FINAL for shards, states in runs)

    def _idle(self) -> bool:
        """Whether all is kept that came, and nothing has come for long although the broker answers."""
        waited = time.monotonic() - max(self._last_arrival, self.report.last_commit)
        return waited > _IDLE_SECONDS and self._kept == self._read and self._answering

    async def _reached(self, goal: dict[Partition, int]) -> bool:
        return self._idle() or covers(self._kept, goal)

    def _changed(self, cluster: Cluster) -> bool:
        """Whether this is another cluster than what is read, or has more than that."""
        return cluster.cluster_id != self._cluster_id or bool(set(cluster.bounds) - set(self._kept))

    async def _look(self) -> Cluster | None:
        """Ask the broker where its topics end; follow it to another cluster or to new partitions."""
        try:
            cluster = await self._source.describe(5.0)
        except BrokerError as error:
            if self._answering:
                log.warning("%s Waiting for it to come back.", error.message)
            self._last_arrival = time.monotonic()
            self._set_ready(False)
            return None
        if not self._answering:
            log.info("the broker answers again")
            self._set_ready(True)
        if self._changed(cluster):
            if cluster.missing(self._decoder.topics):
                return None
            log.warning("the cluster or its partitions changed: reading on from what the database holds")
            await self._follow(cluster)
            return None
        self._telemetry.lagging(self._lag(cluster))
        return cluster

    async def _follow(self, cluster: Cluster) -> None:
        await self._put_down()
        if self._error is None:
            await self._subscribe(cluster, cluster.bounds)

    async def _put_down(self) -> None:
        """Read no further, and commit what was read."""
        await self._source.stop()
        await self._flush()
        await self._settle()

    def _lag(self, cluster: Cluster) -> dict[Partition, int]:
        return {place: max(0, end - self._kept[place]) for place, end in cluster.ends.items() if place in self._kept}

    def _set_ready(self, ready: bool) -> None:
        self._answering = ready
        self._telemetry.ready.set(ready)
