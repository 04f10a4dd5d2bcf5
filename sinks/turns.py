"""Turns among the processes of one machine: who holds the lock of a file writes, the others wait.

It is politeness, never what safety rests on: who has waited long goes on without a turn, because a process that was
stopped (SIGSTOP) in its turn would hold up all others for ever. What it and they then write at once is told apart by
the catalogue, which lets one transaction in. The lock goes with the process that holds it, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: Seconds after which a turn is no longer waited for.
PATIENCE = 10.0
_PAUSE = 0.005


@contextlib.contextmanager
def turn(
    path: Path,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[bool]:
    """Hold the lock of the file `path` (made where it is not there) inside. Gives whether it is held."""
    with path.open("ab") as file:
        deadline = clock() + patience
        held = False
        while not held:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if clock() >= deadline:
                    break
                sleep(_PAUSE)
        yield held
