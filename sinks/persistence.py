"""Trying again what another process got in the way of: with pauses that grow, apart from one another, and an end.

Knows Conflict and clocks; what is tried is a callable that leaves nothing behind when it fails.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from sinks.mishaps import Conflict

#: Seconds of the first pause, of the longest, and after which the last conflict is given to the caller.
FIRST, LONGEST, PATIENCE = 0.01, 1.0, 60.0
_Answer = TypeVar("_Answer")


def again(
    attempt: Callable[[], _Answer],
    noted: Callable[[], None] = lambda: None,
    *,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> _Answer:
    """What `attempt` gives, tried until it raises no Conflict or `patience` seconds are over. `noted` hears of each."""
    deadline = clock() + patience
    for pause in pauses(str(os.getpid())):
        try:
            return attempt()
        except Conflict:
            noted()
            if clock() + pause >= deadline:
                raise
            sleep(pause)
    raise AssertionError("pauses never end")


def pauses(who: str) -> Iterator[float]:
    """Seconds to wait before each further attempt: doubling up to LONGEST, each between half and all of that. The
    share is a hash of `who` and the attempt, so that processes that met once do not meet again and again."""
    step, number = FIRST, 0
    while True:
        share = hashlib.blake2b(f"{who}/{number}".encode(), digest_size=2).digest()
        yield step * (0.5 + int.from_bytes(share, "big") / 131_072)
        step, number = min(LONGEST, step * 2), number + 1
