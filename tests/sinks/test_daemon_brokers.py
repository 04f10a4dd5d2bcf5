"""The running sink while its broker is away, comes back, or is another: what it waits for, and where it reads on."""

from __future__ import annotations

import asyncio

import pytest

from personas.errors import BrokerError
from personas.topics import RUNS
from sinks import daemon
from sinks.report import Report
from sinks.source import MemorySource
from sinks.store import MEMORY, Store
from tests.sinks.making import EVENTS, SESSIONS, events, manifest
from tests.sinks.running import events_in, sink_on, source_with, until


def test_draining_is_bounded_when_the_broker_is_away() -> None:
    async def play() -> Report:
        source = source_with()
        sink = sink_on(source, Store.open(MEMORY), until_completed=False)
        running = asyncio.create_task(sink.run())
        await until(lambda: sink.ready)
        source.away = True
        await until(lambda: not sink.ready)
        sink.request_stop("SIGTERM")
        return await running

    assert asyncio.run(play()).drained is False


def test_an_absent_broker_is_an_error() -> None:
    source = source_with()
    source.away = True
    with pytest.raises(BrokerError, match="does not answer"):
        asyncio.run(sink_on(source, Store.open(MEMORY)).run())


def test_it_survives_a_broker_that_goes_away_and_comes_back() -> None:
    async def play() -> Report:
        source = source_with()
        sink = sink_on(source, Store.open(MEMORY))
        running = asyncio.create_task(sink.run())
        await until(lambda: sink.ready)
        source.away = True
        await until(lambda: not sink.ready)
        source.append(RUNS, 0, manifest())
        source.away = False
        return await running

    assert asyncio.run(play()).rows["runs"] == 1


def test_it_waits_for_topics_and_makes_none(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> Report:
        source = source_with(5, manifest())
        late = source.topics.pop((SESSIONS, 0))
        source.topics.pop((SESSIONS, 1))
        sink = sink_on(source, Store.open(MEMORY))
        running = asyncio.create_task(sink.run())
        await until(lambda: "waiting for topics" in caplog.text)
        # longer than connect_seconds: the broker answers, so this is no error, and is told once
        await until(lambda: "still waiting for" in caplog.text)
        assert not sink.ready
        source.append(SESSIONS, 0, *late)
        return await running

    with caplog.at_level("INFO", "dayone.sink"):
        assert asyncio.run(play()).rows["sessions"] == 5
    assert caplog.text.count(f"do not exist yet: {SESSIONS}") == 1
    assert caplog.text.count(f"still waiting for {SESSIONS}: `dayone simulate` with the same pack makes") == 1


def test_another_cluster_is_read_from_its_start_and_known_rows_are_not_doubled() -> None:
    async def play() -> tuple[Report, int]:
        store, source = Store.open(MEMORY), source_with(5)
        sink = sink_on(source, store)
        running = asyncio.create_task(sink.run())
        await until(lambda: sink.report.rows.get("labels") == 10)
        source.topics = source_with(8, manifest()).topics
        source.cluster_id = "another"
        return await running, events_in(store)

    report, stored = asyncio.run(play())
    assert stored == 32
    assert report.duplicates["events"] >= 20  # more where the swap was not noticed at once


def test_a_topic_that_was_made_anew_is_read_from_its_start() -> None:
    with Store.open(MEMORY) as store:
        asyncio.run(sink_on(source_with(5, manifest()), store).run())

        class Anew(MemorySource):
            """Where it is asked for more than there is, begins at the start, as `auto.offset.reset` does."""

            async def start(self, positions, handler, failed):  # type: ignore[no-untyped-def]
                ends = {place: len(records) for place, records in self.topics.items()}
                first = {place: 0 if at > ends[place] else at for place, at in positions.items()}
                await super().start(first, handler, failed)

        source = Anew(topics=source_with(5).topics)
        source.topics[EVENTS, 0] = events(60)[40:56]
        source.append(RUNS, 0, manifest("started"), manifest())
        report = asyncio.run(sink_on(source, store).run())
        assert (report.rows["events"], events_in(store)) == (16, 36)


def test_a_new_partition_is_read_as_well() -> None:
    async def play() -> Report:
        source = source_with(5)
        sink = sink_on(source, Store.open(MEMORY))
        running = asyncio.create_task(sink.run())
        await until(lambda: sink.report.rows.get("labels") == 10)
        source.append(EVENTS, 2, *events(24)[20:])
        source.append(RUNS, 0, manifest())
        return await running

    assert asyncio.run(play()).rows["events"] == 24


def test_markers_that_no_reader_is_given_do_not_hold_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_IDLE_SECONDS", 0.05)

    class Marked(MemorySource):
        async def describe(self, timeout: float):  # type: ignore[no-untyped-def]
            cluster = await super().describe(timeout)
            return type(cluster)(cluster.cluster_id, {p: (a, b + 1) for p, (a, b) in cluster.bounds.items()})

    source = Marked(topics=source_with(5, manifest()).topics)
    assert asyncio.run(sink_on(source, Store.open(MEMORY)).run()).rows["events"] == 20
