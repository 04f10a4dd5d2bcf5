"""The consumer as FastStream polls it: nobody waits for a poll, and nothing is forgotten in between."""

from __future__ import annotations

import threading
import time
from typing import Any

from sinks.polling import SLICE, PolledConsumer

PLACE = ("events", 0)


class FakeConsumer:
    """Lets one call at a time in, as the client does, and has `arriving` messages to give, one slice after another."""

    def __init__(self, *arriving: int) -> None:
        self.arriving = list(arriving)
        self.waits: list[float] = []
        self.committed: list[Any] = []
        self.end = -1001
        self.closed = False
        self.polling, self.held = threading.Event(), threading.Event()
        self.held.set()
        self._inside = threading.Lock()

    def consume(self, num_messages: int, timeout: float) -> list[int]:
        with self._inside:
            self.waits.append(timeout)
            self.polling.set()
            assert self.held.wait(60)
            count = self.arriving.pop(0) if self.arriving else 0
            if not count:
                time.sleep(timeout)
            self.end = max(self.end, 0) + count if count else self.end
            return list(range(min(count, num_messages)))

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> None:
        with self._inside:
            assert asynchronous
            self.committed += offsets

    def get_watermark_offsets(self, place: Any, *, cached: bool) -> tuple[int, int]:
        with self._inside:
            assert cached
            return 0, self.end

    def close(self) -> None:
        self.closed = True


def polled(fake: FakeConsumer) -> PolledConsumer:
    return PolledConsumer(fake, [PLACE], lambda *place: place, (RuntimeError,))


def test_a_poll_comes_back_once_nothing_more_arrives() -> None:
    fake = FakeConsumer(3, 2)
    assert len(polled(fake).consume(100, 60.0)) == 5
    assert fake.waits == [SLICE] * 3


def test_a_poll_gives_no_more_than_was_asked_for_and_waits_no_longer() -> None:
    assert len(polled(FakeConsumer(3, 2, 9)).consume(5, 60.0)) == 5
    fake = FakeConsumer()
    assert polled(fake).consume(5, 2.5 * SLICE) == []
    assert max(fake.waits) <= SLICE


def test_the_end_that_came_with_a_message_is_known_with_it() -> None:
    consumer = polled(FakeConsumer(7))
    assert consumer.ends == {PLACE: -1}
    assert consumer.consume(7, 60.0) and consumer.ends == {PLACE: 7}


def test_acknowledging_waits_for_no_poll_and_is_done_by_the_thread_that_polls() -> None:
    fake = FakeConsumer()
    fake.held = threading.Event()
    consumer = polled(fake)
    thread = threading.Thread(target=consumer.consume, args=(1, 60.0))
    thread.start()
    assert fake.polling.wait(60)  # inside, and it stays there until it is let go
    consumer.acknowledge({PLACE: 4})
    consumer.acknowledge({PLACE: 5})
    assert not fake.held.is_set() and fake.committed == []
    fake.held.set()
    while not fake.committed:
        time.sleep(0.001)
    consumer.end_soon()
    thread.join(60)
    assert not thread.is_alive()
    assert fake.committed == [(*PLACE, 5)]


def test_what_is_acknowledged_last_is_committed_before_the_end() -> None:
    fake = FakeConsumer()
    consumer = polled(fake)
    consumer.end_soon()
    consumer.acknowledge({PLACE: 9})
    assert consumer.consume(1, 60.0) == []
    consumer.close()
    assert fake.committed == [(*PLACE, 9)] and fake.closed and fake.waits == []
