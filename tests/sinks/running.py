"""A sink on a source in memory: what its tests start with, wait for and look at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from personas.topics import RUNS
from sinks.daemon import Limits, Sink
from sinks.gather import Bounds
from sinks.ingest import Decoder
from sinks.source import MemorySource
from sinks.store import Store
from sinks.telemetry import Telemetry
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import everything, tiny_pack

QUICK = Limits(connect_seconds=0.1, drain_seconds=0.2, look_seconds=0.01)


def source_with(sessions: int = 5, *extra: tuple[bytes, bytes]) -> MemorySource:
    source = MemorySource(batch_rows=7)
    for topic, records in everything(sessions):
        source.append(topic, 0, *records)
        source.append(topic, 1)
    source.append(RUNS, 0, *extra)
    return source


def sink_on(
    source: MemorySource, store: Store, *, until_completed: bool = True, limits: Limits = QUICK,
    after: datetime | None = None,
) -> Sink:  # fmt: skip
    return Sink(source, Decoder(vocabulary_of(tiny_pack())), store, Telemetry(), limits=limits,
                bounds=Bounds(seconds=0.005), until_completed=until_completed, after=after)  # fmt: skip


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited 60 s in vain"
        await asyncio.sleep(0.002)


def events_in(store: Store) -> int:
    return int(store.query("SELECT count(*) AS n FROM events").to_pylist()[0]["n"])
