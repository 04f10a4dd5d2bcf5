"""How many calls may be under way at once, and how long to wait before trying again.

Additive increase, multiplicative decrease, as TCP does it: each answer makes a little more room (one call more after
as many answers as there are calls), and each 429 or 529 halves it, at most once for the calls that were under way at
the same moment. The provider's own wish (`retry-after`) holds for all calls, up to a cap, so that a wrong header does
not stop a run for hours. Waits are jittered by a hash of the request, so a run's waits are its own and repeatable.

The other way, a fixed number of calls and a limiter that knows the account's rates, needs to be told those rates, and
they differ by model, account and hour.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Bounds of trying again. Seconds. `tries` counts the first one."""

    tries: int = 6
    tries_for_a_valid_answer: int = 3
    shortest: float = 0.5
    longest: float = 30.0
    longest_retry_after: float = 60.0

    def wait(self, failed: int, key: str, retry_after: float | None = None) -> float:
        """Seconds before the next try, after `failed` of them: between half and all of a doubling step, and never
        less than what the provider asked for (up to the cap)."""
        step = min(self.longest, self.shortest * 2.0 ** (failed - 1))
        number = int.from_bytes(hashlib.sha256(f"{key}|{failed}".encode()).digest()[:4], "big") / 2**32
        asked = min(max(retry_after or 0.0, 0.0), self.longest_retry_after)
        return max(step * (0.5 + number / 2), asked + number * min(asked, 1.0))


class AdaptiveLimit:
    """At most `limit` calls at once; the limit moves between 1 and `most`."""

    def __init__(self, most: int, start: int = 8, clock: Callable[[], float] | None = None) -> None:
        self.most = most
        self.limit = float(min(start, most))
        self.active = 0
        self._clock = clock
        self._calls = 0
        self._decreased_at = 0
        self._paused_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """A place for one call; gives its number, for `slow_down`."""
        while self.active >= int(self.limit) or self._now() < self._paused_until:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            if (pause := self._paused_until - self._now()) > 0:
                asyncio.get_running_loop().call_later(pause, _let_go, turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()
                raise
        self.active += 1
        self._calls += 1
        try:
            yield self._calls
        finally:
            self.active -= 1
            self._wake()

    def speed_up(self) -> None:
        """A call was answered."""
        self.limit = min(float(self.most), self.limit + 1.0 / self.limit)
        self._wake()

    def slow_down(self, call: int, pause: float = 0.0) -> None:
        """The provider has too much to do: call number `call` was turned away, and nobody asks for `pause` seconds."""
        self._paused_until = max(self._paused_until, self._now() + pause)
        if call > self._decreased_at:
            self.limit = max(1.0, self.limit / 2)
            self._decreased_at = self._calls

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()

    def _wake(self) -> None:
        free = int(self.limit) - self.active
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


def _let_go(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
