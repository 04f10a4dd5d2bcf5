"""Puts a sink together from its settings and a pack, and runs it: the one place that knows all the parts.

`run_sink` is what `dayone sink` calls, and what a program that runs broker, simulator and sink at once can call in
a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from personas.errors import PortError, StoreError
from personas.health import HealthServer
from sinks.daemon import Limits, Sink
from sinks.gather import Bounds
from sinks.ingest import Decoder
from sinks.membership import KafkaGroup
from sinks.place import Place
from sinks.report import Report
from sinks.serve import served
from sinks.settings import SinkSettings
from sinks.sharing import SharingSink
from sinks.store import Store
from sinks.subscriber import KafkaSource
from sinks.summary import note_of_others
from sinks.telemetry import Telemetry
from sinks.vocabulary import vocabulary_of

if TYPE_CHECKING:
    from personas.pack import Pack

log = logging.getLogger("dayone.sink")


def run_sink(
    settings: SinkSettings,
    pack: Pack,
    *,
    until_completed: bool = False,
    only_run: str | None = None,
    after: datetime | None = None,
    handle_signals: bool = True,
    on_start: Callable[[Sink], None] = lambda sink: None,
    on_commit: Callable[[Report], None] = lambda report: None,
    at_end: Callable[[Store], None] = lambda store: None,
) -> Report:
    """Run a sink to its end. `on_start` is given the sink, whose `request_stop` may be called from any thread;
    `on_commit` is called after each transaction, `at_end` when all is stored and the store is still open. Raises what
    Sink.run, Store.open and HealthServer.start raise.
    """
    _calm_collector()
    return asyncio.run(
        _run(settings, pack, until_completed, only_run, after, handle_signals, on_start, on_commit, at_end)
    )


def _calm_collector() -> None:
    """A batch makes hundreds of thousands of objects, none of them in a cycle; Python's collector looks through them
    again and again for cycles (a third of all decoding time). What is there now is set aside, and it looks rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)


async def _run(
    settings: SinkSettings,
    pack: Pack,
    until_completed: bool,
    only_run: str | None,
    after: datetime | None,
    handle_signals: bool,
    on_start: Callable[[Sink], None],
    on_commit: Callable[[Report], None],
    at_end: Callable[[Store], None],
) -> Report:
    decoder = Decoder(vocabulary_of(pack), max_bytes=settings.sink_max_message_bytes)
    telemetry = Telemetry()
    rows = settings.sink_batch_rows
    bounds = Bounds(rows, settings.sink_batch_seconds, fetch=min(rows, Bounds.fetch))
    place, group = settings.place, settings.sink_group or f"dayone-sink-{pack.product.name}"
    source = KafkaSource(
        settings.connection,
        decoder.topics,
        group,
        fetch=bounds.fetch,
        wait_seconds=bounds.seconds / 4,
        prefetch_mib=settings.sink_prefetch_mib,
    )
    with _opened(place, settings) as store:
        store.load_pack(pack)
        if note := note_of_others(store, pack.product.name, only_run):
            log.warning(note)
        telemetry.database_bytes.set(store.size_bytes())
        limits = Limits(settings.sink_connect_seconds, settings.sink_drain_seconds)
        kind: Callable[..., Sink] = Sink
        if place.is_lake:
            kind = partial(SharingSink, group=KafkaGroup(settings.connection, decoder.topics, group))
        sink = kind(
            source, decoder, store, telemetry, limits=limits, bounds=bounds, until_completed=until_completed,
            only_run=only_run, after=after, on_commit=on_commit,
        )  # fmt: skip
        server = HealthServer(
            telemetry.render, lambda: sink.ready, host=settings.metrics_host, port=settings.sink_metrics_port,
            reason=lambda: "the broker does not answer, or its topics do not exist yet",
        )  # fmt: skip
        with server, _readers(store, settings):
            log.info("metrics on %s/metrics, rows into %s", server.url, place.name)
            on_start(sink)
            try:
                report = await sink.run(handle_signals=handle_signals)
            finally:
                await source.close()
        store.database.take_all_cores()
        at_end(store)
        return report


def _opened(place: Place, settings: SinkSettings) -> Store:
    """The store. Where it cannot be opened and the port for metrics is taken as well (by the same other sink, as a
    rule), the error names both: who mends only the first would meet the second."""
    try:
        return Store.open(place, memory_limit=settings.store_memory_limit)
    except StoreError as error:
        try:
            HealthServer(bytes, bool, host=settings.metrics_host, port=settings.sink_metrics_port).start().stop()
        except PortError as port:
            raise StoreError(f"{error.message}\n{port.message}", hint=f"{error.hint} {port.hint}".strip()) from error
        raise


def _readers(store: Store, settings: SinkSettings) -> AbstractContextManager[object]:
    """Readers served beside the sink, where they are wanted and the store is one file."""
    if not settings.sink_serve or settings.place.is_lake or not Path(settings.store).is_file():
        return nullcontext()
    return served(store.database, host=settings.sink_serve_host, port=settings.sink_serve_port)
