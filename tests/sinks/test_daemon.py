"""The running sink on a source in memory: when it ends, what it acknowledges, what stops it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from personas.errors import BrokerError, DeliveryError, StoreError
from personas.topics import RUNS
from sinks import daemon
from sinks.batch import DeadLetter
from sinks.daemon import Limits, Sink
from sinks.gather import Bounds
from sinks.ingest import Decoder
from sinks.report import Report
from sinks.source import Cluster, MemorySource
from sinks.store import MEMORY, Store
from sinks.telemetry import Telemetry
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import (
    CONVERSATIONS,
    EVENTS,
    LABELS,
    SESSIONS,
    USERS,
    events,
    everything,
    manifest,
    session_events,
    tiny_pack,
)

QUICK = Limits(connect_seconds=0.1, drain_seconds=0.2, look_seconds=0.01)


def source_with(sessions: int = 5, *extra: tuple[bytes, bytes]) -> MemorySource:
    source = MemorySource(batch_rows=7)
    for topic, records in everything(sessions):
        source.append(topic, 0, *records)
        source.append(topic, 1)
    source.append(RUNS, 0, *extra)
    return source


def sink_on(source: MemorySource, store: Store, *, until_completed: bool = True, limits: Limits = QUICK) -> Sink:
    return Sink(source, Decoder(vocabulary_of(tiny_pack())), store, Telemetry(), limits=limits,
                bounds=Bounds(seconds=0.005), until_completed=until_completed)  # fmt: skip


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited 60 s in vain"
        await asyncio.sleep(0.002)


def events_in(store: Store) -> int:
    return int(store.query("SELECT count(*) AS n FROM events").to_pylist()[0]["n"])


def test_it_ends_by_itself_when_the_run_is_completed_and_all_is_stored() -> None:
    store, source = Store.open(MEMORY), source_with(5, manifest())
    sink = sink_on(source, store)
    report = asyncio.run(sink.run())
    assert (report.ended, report.drained) == ("completed", True)
    assert report.rows == {"events": 20, "sessions": 5, "users": 5, "labels": 10, "conversations": 5, "runs": 1}
    assert source.acknowledged[EVENTS, 0] == 20


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


def test_markers_that_no_reader_is_given_do_not_hold_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_IDLE_SECONDS", 0.05)

    class Marked(MemorySource):
        async def describe(self, timeout: float):  # type: ignore[no-untyped-def]
            cluster = await super().describe(timeout)
            return type(cluster)(cluster.cluster_id, {p: (a, b + 1) for p, (a, b) in cluster.bounds.items()})

    source = Marked(topics=source_with(5, manifest()).topics)
    assert asyncio.run(sink_on(source, Store.open(MEMORY)).run()).rows["events"] == 20


def test_users_topic_is_among_those_read() -> None:
    assert {EVENTS, SESSIONS, USERS, LABELS, CONVERSATIONS, RUNS} == set(Decoder(vocabulary_of(tiny_pack())).topics)
