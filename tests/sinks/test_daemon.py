"""The running sink on a source in memory: when it ends, what it acknowledges, what stops it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from personas.errors import DeliveryError, StoreError
from personas.topics import RUNS
from sinks.batch import Batch, DeadLetter
from sinks.daemon import Limits, Sink
from sinks.gather import Bounds
from sinks.ingest import Decoder
from sinks.report import Report
from sinks.source import Cluster, MemorySource
from sinks.store import MEMORY, Committed, Store
from sinks.telemetry import Telemetry
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import (
    CONVERSATIONS,
    EVENTS,
    LABELS,
    SESSIONS,
    USERS,
    events,
    manifest,
    session_events,
    tiny_pack,
)
from tests.sinks.running import events_in, sink_on, source_with, until


def test_it_ends_by_itself_when_the_run_is_completed_and_all_is_stored() -> None:
    store, source = Store.open(MEMORY), source_with(5, manifest())
    sink = sink_on(source, store)
    report = asyncio.run(sink.run())
    assert (report.ended, report.drained) == ("completed", True)
    assert report.rows == {"events": 20, "sessions": 5, "users": 5, "labels": 10, "conversations": 5, "runs": 1}
    assert source.acknowledged[EVENTS, 0] == 20


def test_with_the_commit_that_reaches_the_ends_it_looks_again_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run has ended, and its last rows are being written: with them it ends, not a look's sixty seconds later."""
    store, source = Store.open(MEMORY), source_with(5, manifest())
    sink = sink_on(source, store, limits=Limits(1, 1, look_seconds=60))
    described, commit = source.describe, store.commit

    async def growing(timeout: float) -> Cluster:
        if not source.topics[EVENTS, 1] and "runs" in sink.report.rows:
            source.append(EVENTS, 1, *session_events(5))
        return await described(timeout)

    def slowly(batch: Batch, cluster_id: str) -> Committed:
        if (EVENTS, 1) in batch.next_offsets:
            asyncio.run_coroutine_threadsafe(until(lambda: sink._goal.ends is not None), loop[0]).result()
        return commit(batch, cluster_id)

    async def play() -> Report:
        loop.append(asyncio.get_running_loop())
        return await asyncio.wait_for(sink.run(), 20)

    loop = list[asyncio.AbstractEventLoop]()
    monkeypatch.setattr(source, "describe", growing)
    monkeypatch.setattr(store, "commit", slowly)
    report = asyncio.run(play())
    assert (report.ended, report.drained, events_in(store)) == ("completed", True, 24)


def test_ends_that_were_named_too_low_are_seen_when_they_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the embedded broker does it: of the last batch, only the first message, until that was fetched."""
    store, source = Store.open(MEMORY), source_with(1500)
    sink = sink_on(source, store, until_completed=False, limits=Limits(1, 20, 0.01))
    described, place, named = source.describe, (EVENTS, 0), 4000

    async def too_low(timeout: float) -> Cluster:
        answer = await described(timeout)
        end = named if sink._kept.get(place, 0) < named else len(source.topics[place])
        return replace(answer, bounds={**answer.bounds, place: (0, end)})

    async def play() -> Report:
        running = asyncio.create_task(sink.run())
        await until(lambda: sink.report.rows.get("events", 0) > 0)
        assert sink._kept[place] < named
        sink.request_stop("SIGTERM")
        return await asyncio.wait_for(running, 60)

    monkeypatch.setattr(source, "describe", too_low)
    report = asyncio.run(play())
    assert (report.ended, report.drained, events_in(store)) == ("SIGTERM", True, 6000)


def test_the_last_commit_ends_it_without_waiting_for_the_next_look() -> None:
    store, source = Store.open(MEMORY), source_with(5, manifest())
    seldom = Limits(connect_seconds=0.1, drain_seconds=0.2, look_seconds=60)
    sink = Sink(source, Decoder(vocabulary_of(tiny_pack())), store, Telemetry(), limits=seldom,
                bounds=Bounds(seconds=0), until_completed=True)  # fmt: skip
    report = asyncio.run(asyncio.wait_for(sink.run(), 20))
    assert (report.ended, report.drained, events_in(store)) == ("completed", True, 20)
    assert store.positions("memory")[LABELS, 0] == 10
    assert 'dayone_sink_rows_total{table="events"} 20.0' in sink._telemetry.render().decode()
    assert 'dayone_sink_lag_messages{partition="0",topic="dayone.tiny.events"} 0.0' in sink._telemetry.render().decode()


@pytest.mark.parametrize("first", [[], [manifest("started")], [manifest("completed", 0, 2)]])
def test_it_waits_for_every_shard_of_every_run(first: list[tuple[bytes, bytes]]) -> None:
    async def play() -> Report:
        source = source_with(5, *first)
        sink = sink_on(source, Store.open(MEMORY))
        running = asyncio.create_task(sink.run())
        await until(lambda: sink.report.rows.get("labels") == 10 and sink._kept[RUNS, 0] == len(first))
        await asyncio.sleep(0.05)
        assert not running.done()
        source.append(RUNS, 0, manifest("completed", 0, 2), manifest("stopped", 1, 2))
        return await running

    assert asyncio.run(play()).ended == "completed"


@pytest.mark.parametrize("stored", [False, True])
def test_the_end_of_an_earlier_start_is_not_the_one_that_is_waited_for(stored: bool, tmp_path: Path) -> None:
    """The topics hold it, and perhaps not all of what came before it is stored: the run is about to go on."""

    async def play() -> Report:
        source = source_with(5, manifest("stopped"))
        with Store.open(tmp_path / "a.duckdb") as store:
            if stored:
                await sink_on(source, store).run()
                source.append(EVENTS, 1, *session_events(5))
            sink = sink_on(source, store, after=datetime(2026, 11, 2, tzinfo=UTC))
            running = asyncio.create_task(sink.run())
            await until(lambda: sink._kept.get((RUNS, 0)) == 1 and sink._kept.get((EVENTS, 1)) == 4 * stored)
            await asyncio.sleep(0.05)
            assert not running.done()
            source.append(RUNS, 0, manifest("started", updated="2026-11-02T00:00:01Z"))
            source.append(RUNS, 0, manifest("completed", updated="2026-11-02T00:00:02Z"))
            return await asyncio.wait_for(running, 20)

    assert asyncio.run(play()).ended == "completed"


def test_started_again_after_a_crash_it_ends_although_the_manifest_was_read_before(tmp_path: Path) -> None:
    source = source_with(5, manifest())
    with Store.open(tmp_path / "a.duckdb") as store:
        asyncio.run(sink_on(source, store).run())
    source.append(EVENTS, 0, *events(40)[20:])
    with Store.open(tmp_path / "a.duckdb") as store:
        report = asyncio.run(sink_on(source, store).run())
        assert (report.ended, events_in(store)) == ("completed", 40)


def test_told_to_stop_it_drains_what_is_there() -> None:
    async def play() -> tuple[Report, int]:
        store, source = Store.open(MEMORY), source_with(200)
        sink = sink_on(source, store, until_completed=False, limits=Limits(1, 20, 0.01))
        running = asyncio.create_task(sink.run())
        await until(lambda: bool(sink.report.rows))
        sink.request_stop("SIGTERM")
        return await running, events_in(store)

    report, stored = asyncio.run(play())
    assert (report.ended, report.drained, stored) == ("SIGTERM", True, 800)


def test_what_came_while_it_looked_is_drained_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to stop between the broker's answer and its reading: the ends of that answer are too old to stop at."""
    store, source = Store.open(MEMORY), source_with(5)
    sink = sink_on(source, store, until_completed=False, limits=Limits(1, 20, 0.01))
    described = source.describe

    async def slowly(timeout: float) -> Cluster:
        answer = await described(timeout)
        source.batch_rows = 7
        if sum(sink.report.rows.values()) == 45 and not late:
            late.extend(session_events(5))
            source.append(EVENTS, 1, *late)
            sink.request_stop("SIGTERM")
            source.batch_rows = 0  # until the next look
            await asyncio.sleep(0)  # the request arrives, the messages do not
        return answer

    late: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(source, "describe", slowly)
    report = asyncio.run(asyncio.wait_for(sink.run(), 20))
    assert (report.ended, report.drained, len(late)) == ("SIGTERM", True, 4)
    assert events_in(store) == 24


def test_a_second_request_ends_at_once_and_consistently() -> None:
    async def play() -> tuple[Report, int, int]:
        store, source = Store.open(MEMORY), source_with(3000)
        sink = sink_on(source, store, until_completed=False)
        running = asyncio.create_task(sink.run())
        await until(lambda: sink.report.rows.get("events", 0) > 0)
        sink.request_stop("SIGINT")
        sink.request_stop("SIGINT")
        report = await running
        return report, events_in(store), store.positions("memory").get((EVENTS, 0), 0)

    report, stored, position = asyncio.run(play())
    assert (report.ended, report.drained) == ("SIGINT", False)
    assert stored == position < 12_000


def test_a_commit_that_fails_ends_the_sink_and_acknowledges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store, source = Store.open(MEMORY), source_with()

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(store, "commit", full)
    with pytest.raises(StoreError, match="disk is full"):
        asyncio.run(sink_on(source, store).run())
    assert source.acknowledged == {}


def test_an_error_in_the_handler_ends_the_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    store, source = Store.open(MEMORY), source_with()
    sink = sink_on(source, store)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sink._decoder, "decode_piece", broken)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(sink.run())
    assert (source.acknowledged, events_in(store)) == ({}, 0)


def test_dead_letters_are_published_before_the_transaction() -> None:
    store = Store.open(MEMORY)

    class Watching(MemorySource):
        async def publish_dead(self, letters: list[DeadLetter]) -> None:  # type: ignore[override]
            assert store.positions("memory").get((EVENTS, 0), 0) <= letters[0].offset
            await super().publish_dead(letters)

    source = Watching(topics=source_with(5, manifest()).topics)
    source.append(EVENTS, 0, (b"k", b"nonsense"))
    report = asyncio.run(sink_on(source, store).run())
    assert (report.dead_letters, [letter.value for letter in source.dead]) == (1, [b"nonsense"])


def test_a_dead_letter_that_cannot_be_published_stops_the_sink_before_its_transaction() -> None:
    class Refusing(MemorySource):
        async def publish_dead(self, letters: object) -> None:
            raise DeliveryError("refused")

    store, source = Store.open(MEMORY), Refusing(topics=source_with().topics)
    source.topics[EVENTS, 0].insert(0, (b"k", b"nonsense"))
    with pytest.raises(DeliveryError):
        asyncio.run(sink_on(source, store).run())
    assert store.positions("memory") == {}


def test_users_topic_is_among_those_read() -> None:
    assert {EVENTS, SESSIONS, USERS, LABELS, CONVERSATIONS, RUNS} == set(Decoder(vocabulary_of(tiny_pack())).topics)


def test_who_waits_for_a_transaction_waits_for_one_begun_meanwhile() -> None:
    """Another waits for the same one, and is the first to go on: with the next transaction."""
    sink = sink_on(source_with(1), Store.open(MEMORY))

    async def play() -> None:
        gates = asyncio.Event(), asyncio.Event()

        async def kept(gate: asyncio.Event) -> None:
            await gate.wait()

        sink._pending = asyncio.create_task(kept(gates[0]))
        waiting = asyncio.create_task(sink._settle())
        await asyncio.sleep(0)
        sink._pending = asyncio.create_task(kept(gates[1]))
        gates[0].set()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        gates[1].set()
        await waiting

    asyncio.run(play())
