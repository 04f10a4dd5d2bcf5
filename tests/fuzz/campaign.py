"""Runs targets in chunks and watches time and memory; what it finds is written down with what makes it again.

A chunk is some hundred attempts from one seed, `<seed>/<target>/<chunk>`, and runs in a process that has done others
before it. An input that takes longer than `SECONDS`, or lets the process grow by more than `MEBIBYTES`, is a finding; a
hang inside a library ends the process with a trace (faulthandler), which the campaign reports as a crash.
"""

from __future__ import annotations

import contextlib
import faulthandler
import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tests.fuzz.messages import MessagesTarget
from tests.fuzz.packs import CatalogTarget, PackTarget, YamlTarget
from tests.fuzz.target import Finding, Target

TARGETS: dict[str, Callable[[], Any]] = {
    "messages": MessagesTarget, "catalog": CatalogTarget, "yaml": YamlTarget, "pack": PackTarget,
}  # fmt: skip
#: Of a million inputs, how many each target gets: cheap ones more.
SHARES = {"messages": 0.70, "catalog": 0.20, "yaml": 0.07, "pack": 0.03}
#: Bounds for one attempt. A file of 512 KiB of YAML, the longest that is read, takes some seconds of pure Python.
SECONDS = 20.0
MEBIBYTES = 400
CHUNK_SECONDS = 600
INPUTS_PER_CHUNK = {"messages": 4_000, "catalog": 1_000, "yaml": 500, "pack": 200}


@dataclass
class Chunk:
    """What a chunk found. `findings` are (promise, input) pairs; `slowest` is the longest attempt in seconds."""

    target: str
    number: int
    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    grown_mebibytes: float = 0.0
    findings: list[tuple[str, bytes]] = field(default_factory=list)


class TooSlow(Exception):
    """Raised inside an attempt whose time is over."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """TooSlow inside after this long, as soon as Python code runs."""

    def over(number: int, frame: object) -> None:
        raise TooSlow(f"longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)  # a test runner may have a timer of its own
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)


@lru_cache
def target_of(name: str) -> Target:
    """One of each per process."""
    made: Target = TARGETS[name]()
    return made


def peak_mebibytes() -> float:
    """The most that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_chunk(name: str, seed: int, number: int, inputs: int | None = None) -> Chunk:
    """All attempts of one chunk; it goes on after a finding."""
    target = target_of(name)
    rng = random.Random(f"{seed}/{name}/{number}")
    chunk = Chunk(name, number)
    begun = time.perf_counter()
    faulthandler.dump_traceback_later(CHUNK_SECONDS, exit=True)  # for what hangs inside a library
    while chunk.inputs < (inputs or INPUTS_PER_CHUNK[name]):
        before, started = peak_mebibytes(), time.process_time()
        found = outcome(lambda: target.attempt(rng))
        chunk.slowest = max(chunk.slowest, time.process_time() - started)
        grown = peak_mebibytes() - before
        chunk.grown_mebibytes = max(chunk.grown_mebibytes, grown)
        if found is None and grown > MEBIBYTES:
            found = f"grew by {grown:,.0f} MiB", b""
        chunk.findings += [found] if found else []
        chunk.inputs += getattr(target, "inputs_per_attempt", 1)
    found = outcome(lambda: target.settle() or b"")
    chunk.findings += [found] if found else []
    faulthandler.cancel_dump_traceback_later()
    chunk.seconds = time.perf_counter() - begun
    return chunk


def outcome(attempt: Callable[[], bytes]) -> tuple[str, bytes] | None:
    """None where all is well; otherwise the promise that was broken, and the input where it is known."""
    try:
        with time_limit(SECONDS):
            attempt()
    except Finding as finding:
        return finding.promise, finding.content
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is a finding
        return f"{error!r}\n{traceback.format_exc(limit=-6)}", b""
    return None
