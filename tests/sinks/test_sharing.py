"""Sinks that share partitions, on a group in memory and one real lake: who writes what, and when they end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from personas.topics import RUNS
from sinks.database import Database
from sinks.gather import Bounds
from sinks.group import MemoryCoordinator, MemoryGroup, by_ranges
from sinks.ingest import Decoder
from sinks.report import Report
from sinks.sharing import SharingSink
from sinks.source import MemorySource
from sinks.store import Store
from sinks.telemetry import Telemetry
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import CONVERSATIONS, EVENTS, LABELS, SESSIONS, USERS, events, manifest, tiny_pack
from tests.sinks.running import QUICK

pytestmark = pytest.mark.timeout(240)
PARTITIONS = 4
EACH = 120


@pytest.fixture(autouse=True)
def quick_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.sharing.OTHERS_SECONDS", 0.1)


@pytest.fixture
def opening(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the lake of this test once more."""
    with ExitStack() as stack:
        place = f"ducklake:sqlite:{tmp_path / 'lake.sqlite'}"
        yield lambda: stack.enter_context(Store.open(place))


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited 60 s in vain"
        await asyncio.sleep(0.01)


class Cluster:
    """Four partitions of every topic, with the events of a run of its own on each; a group; sinks on both."""

    def __init__(self, opening: Callable[[], Store]) -> None:
        self.topics: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = {(RUNS, 0): []}
        for topic in (EVENTS, SESSIONS, USERS, LABELS, CONVERSATIONS):
            for partition in range(PARTITIONS):
                self.topics[topic, partition] = []
        self.coordinator = MemoryCoordinator(MemorySource(topics=self.topics))
        self.opening = opening
        self.sinks: list[SharingSink] = []
        self.groups: list[MemoryGroup] = []
        self.tasks: list[asyncio.Task[Report]] = []

    def produce(self, start: int, end: int) -> None:
        for partition in range(PARTITIONS):
            self.topics[EVENTS, partition] += events(end, f"tiny-{partition}")[start:]

    def finish(self, updated: str = "2026-11-01T00:00:00Z") -> None:
        self.topics[RUNS, 0].append(manifest(updated=updated))

    def join(self, *, until_completed: bool = True, after: datetime | None = None) -> SharingSink:
        self.groups.append(MemoryGroup(self.coordinator))
        sink = SharingSink(
            MemorySource(topics=self.topics, batch_rows=40), Decoder(vocabulary_of(tiny_pack())), self.opening(),
            Telemetry(), limits=QUICK, bounds=Bounds(rows=40, seconds=0.02, fetch=40), until_completed=until_completed,
            group=self.groups[-1], after=after,
        )  # fmt: skip
        self.sinks.append(sink)
        self.tasks.append(asyncio.create_task(sink.run()))
        return sink

    def stored(self) -> tuple[int, int]:
        """Events in the lake, and how many different ones."""
        sql = "SELECT count(*) AS n, count(DISTINCT (run_id, event_id)) AS d FROM events"
        [row] = self.opening().query(sql).to_pylist()
        return row["n"], row["d"]


def test_ranges_cut_all_topics_in_the_same_places() -> None:
    shares = by_ranges({"a": 12, "b": 12, "c": 1}, 5)
    assert [len([place for place in share if place[0] == "a"]) for share in shares] == [3, 3, 2, 2, 2]
    assert all({n for t, n in share if t == "a"} == {n for t, n in share if t == "b"} for share in shares)
    assert sum(len(share) for share in shares) == 25


def test_three_sinks_store_everything_once_and_all_of_them_end(opening: Callable[[], Store]) -> None:
    async def play() -> tuple[list[Report], tuple[int, int], Cluster]:
        cluster = Cluster(opening)
        cluster.produce(0, EACH)
        for _ in range(3):
            cluster.join()
        cluster.finish()
        reports = await asyncio.wait_for(asyncio.gather(*cluster.tasks), 60)
        return reports, cluster.stored(), cluster

    reports, stored, cluster = asyncio.run(play())
    assert {report.ended for report in reports} == {"completed"}
    assert stored == (PARTITIONS * EACH, PARTITIONS * EACH)
    assert cluster.coordinator.acknowledged[EVENTS, 3] == EACH


def test_the_lake_is_asked_in_one_thread_alone(
    opening: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection of DuckDB's that two threads use gives one of them the rows of the other."""
    asked: set[str] = set()
    execute = Database.execute

    def noting(database: Database, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        asked.add(threading.current_thread().name)
        return execute(database, statement, parameters)

    async def play() -> None:
        cluster = Cluster(opening)
        cluster.produce(0, EACH)
        cluster.finish()
        cluster.join()
        monkeypatch.setattr(Database, "execute", noting)
        await asyncio.wait_for(cluster.tasks[0], 60)

    asyncio.run(play())
    assert asked == {"store_0"}


def test_the_end_of_an_earlier_start_is_not_the_one_that_is_waited_for(opening: Callable[[], Store]) -> None:
    async def play() -> Report:
        cluster = Cluster(opening)
        cluster.produce(0, 40)
        cluster.finish()
        sink = cluster.join(after=datetime(2026, 11, 2, tzinfo=UTC))
        await until(lambda: sink.report.rows.get("runs") == 1 and sink._kept == sink._read)
        await asyncio.sleep(0.4)  # it would have ended
        assert not cluster.tasks[0].done()
        cluster.finish("2026-11-02T00:00:01Z")
        return await asyncio.wait_for(cluster.tasks[0], 20)

    assert asyncio.run(play()).ended == "completed"


def test_sinks_come_and_go_while_events_flow(opening: Callable[[], Store]) -> None:
    async def play() -> tuple[list[Report], tuple[int, int], list[int]]:
        cluster = Cluster(opening)
        cluster.produce(0, 40)
        first = cluster.join()
        await until(lambda: first.report.rows.get("events", 0) > 0)
        others = [cluster.join(until_completed=False) for _ in range(2)]
        await until(lambda: all(0 < len(sink._kept) < len(cluster.topics) for sink in others))
        cluster.produce(40, 80)  # not before: the first would read it all while the others are still joining
        await until(lambda: all(sink.report.rows.get("events", 0) > 0 for sink in others))
        for sink in others:
            sink.request_stop("SIGTERM")
        await asyncio.wait_for(asyncio.gather(*cluster.tasks[1:]), 60)
        cluster.produce(80, EACH)
        cluster.finish()
        reports = await asyncio.wait_for(asyncio.gather(*cluster.tasks), 60)
        return reports, cluster.stored(), [len(sink._kept) for sink in cluster.sinks]

    reports, stored, _ = asyncio.run(play())
    assert stored == (PARTITIONS * EACH, PARTITIONS * EACH)
    assert [report.ended for report in reports] == ["completed", "SIGTERM", "SIGTERM"]
    assert sum(report.rows["events"] for report in reports) == PARTITIONS * EACH
    assert not any(report.refused for report in reports)


def test_one_that_the_group_went_on_without_is_refused_and_joins_anew(opening: Callable[[], Store]) -> None:
    """Its process was stopped: it was told nothing, and goes on with what it had."""

    async def play() -> tuple[list[Report], tuple[int, int]]:
        cluster = Cluster(opening)
        cluster.produce(0, 40)
        zombie = cluster.join()
        await until(lambda: zombie.report.rows.get("events", 0) == PARTITIONS * 40)
        cluster.groups[0].away = True
        other = cluster.join()
        await until(lambda: len(other._kept) == len(cluster.topics))
        cluster.produce(40, EACH)  # both read it: neither knows of the other
        await until(lambda: zombie.report.refused > 0)
        await until(lambda: 0 < len(zombie._kept) < len(cluster.topics))
        cluster.finish()
        return await asyncio.wait_for(asyncio.gather(*cluster.tasks), 60), cluster.stored()

    reports, stored = asyncio.run(play())
    assert stored == (PARTITIONS * EACH, PARTITIONS * EACH)
    assert reports[0].refused == 1
    assert sum(report.rows["events"] for report in reports) == PARTITIONS * EACH
    assert not any(report.duplicates for report in reports)


def test_a_sink_that_comes_when_all_is_done_waits_for_the_next_run(opening: Callable[[], Store]) -> None:
    async def play() -> bool:
        cluster = Cluster(opening)
        cluster.produce(0, 40)
        cluster.finish()
        cluster.join()
        await asyncio.wait_for(cluster.tasks[0], 60)
        late = cluster.join()
        await until(lambda: len(late._kept) == len(cluster.topics))
        await asyncio.sleep(0.3)
        waiting = not cluster.tasks[1].done()
        cluster.topics[RUNS, 0].append(manifest("started"))
        await until(lambda: late.report.rows.get("runs", 0) + sum(late.report.duplicates.values()) > 0)
        cluster.topics[RUNS, 0].append(manifest())
        await asyncio.wait_for(cluster.tasks[1], 60)
        return waiting

    assert asyncio.run(play())
