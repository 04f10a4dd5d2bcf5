"""How a process of the simulator learns that it is to end: SIGINT and SIGTERM, told to who needs to know.

Knows no run and no broker, and imports nothing heavy: signals are minded before anything else is loaded.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def signals_to(stop: threading.Event) -> Iterator[list[Callable[[], None]]]:
    """SIGINT and SIGTERM set the event, and call what the caller puts into the list that this yields; when the event is
    set already, they raise KeyboardInterrupt. Restored at the end. Outside of the main thread, where signals do not
    arrive, this does nothing."""
    asked: list[Callable[[], None]] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        for call in asked:
            call()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
