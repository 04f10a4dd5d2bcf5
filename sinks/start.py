"""What a sink does before it reads: waits for its topics, and listens to the signals that end it.

Knows a source as a protocol; no database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from personas.errors import AccessError, BrokerError
from sinks.source import Cluster, Source

log = logging.getLogger("dayone.sink")


async def cluster_with(
    topics: Sequence[str],
    source: Source,
    patience: float,
    *,
    stopped: Callable[[], bool],
    pause: Callable[[], Awaitable[None]],
) -> Cluster | None:
    """The cluster once all topics exist; None where the sink is told to stop before. They are not made here.

    BrokerError where Kafka has not answered for `patience` seconds. Topics that are missing longer than that are no
    error, but a warning says once who makes them: an older version may have made only some.
    """
    begun = time.monotonic()
    deadline = begun + patience
    said: list[str] = []
    warned = False
    while not stopped():
        try:
            cluster = await source.describe(max(0.1, min(5.0, deadline - time.monotonic())))
        except AccessError:
            raise  # waiting does not help
        except BrokerError:
            if time.monotonic() >= deadline:
                raise
            await pause()
            continue
        missing = cluster.missing(topics)
        if not missing:
            return cluster
        if missing != said:
            log.info("waiting for topics that do not exist yet: %s", ", ".join(missing))
            said = missing
        if not warned and time.monotonic() >= begun + patience:
            log.warning(
                "still waiting for %s: `dayone simulate` with the same pack makes the topics that are missing, "
                "also where an older version made only the others", ", ".join(missing),
            )  # fmt: skip
            warned = True
        deadline = time.monotonic() + patience
        await pause()
    return None


@contextlib.contextmanager
def stopped_by_signals(request_stop: Callable[[str], None], loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """SIGINT and SIGTERM request a stop while inside."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, request_stop, number.name)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
