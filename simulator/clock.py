"""Time: the wall clock as it is passed in, and the virtual clock that follows it in a live run.

Nothing else in this room asks the operating system for the time, so a test can.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime


class WallClock:
    """The real one."""

    def now(self) -> datetime:
        """The date and time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def wait(self, seconds: float, until: threading.Event) -> None:
        """Sleep, or return early when the event is set."""
        until.wait(seconds)


@dataclass
class FakeClock(WallClock):
    """A clock for tests: waiting takes no time and moves it on."""

    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float, until: threading.Event) -> None:
        self.waits.append(seconds)
        self.seconds += seconds


class VirtualClock:
    """Virtual time in step with the wall clock, `speed` times as fast, from `origin` on (milliseconds after the start
    of the run). It stands still while paused."""

    def __init__(self, clock: WallClock, origin: int, speed: float) -> None:
        self._clock, self._speed = clock, speed
        self._origin, self._since = float(origin), clock.monotonic()
        self._paused = False

    def now(self) -> int:
        """Virtual milliseconds after the start of the run."""
        if self._paused:
            return int(self._origin)
        return int(self._origin + (self._clock.monotonic() - self._since) * 1000 * self._speed)

    def pause(self, paused: bool) -> None:
        """Stop or go on; saying the same twice changes nothing."""
        if paused != self._paused:
            self._origin, self._since = float(self.now()), self._clock.monotonic()
            self._paused = paused
