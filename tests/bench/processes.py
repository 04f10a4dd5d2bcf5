"""The processes of a measurement: started, watched for their peak memory, and ended whatever happens.

Peak memory is VmHWM of /proc, looked at ten times a second while the process lives: the rusage of a child that has
ended would count what its parent held when it forked. Where there is no /proc, resident memory is what is seen.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent.parent


class BenchError(Exception):
    """A measurement that could not be taken; the message says which and why."""


def environment() -> dict[str, str]:
    """The environment without settings of Dayone's own, so that the defaults are what is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DAYONE_")}
    return kept | {"PYTHONPATH": str(ROOT)}


@dataclass
class Outcome:
    """How a process went: seconds from its start to its end, what it wrote, and peak memory (bytes) by role."""

    seconds: float
    stdout: str
    stderr: str
    peaks: dict[str, int] = field(default_factory=dict)


def run(
    *arguments: str, timeout: float = 180.0, role: Callable[[psutil.Process], str] = lambda process: "process"
) -> Outcome:
    """Run `python ARGUMENTS` to its end. `role` names a process of the family, so that its peak can be told.

    Raises BenchError when it fails or takes longer than `timeout` seconds.
    """
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        with watching(process.pid, role) as peaks:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                raise BenchError(f"{' '.join(arguments)}: not ended after {timeout:g} s") from None
            seconds = time.monotonic() - begun
    finally:
        end(process)
    if process.returncode != 0:
        raise BenchError(f"{' '.join(arguments)}: exit code {process.returncode}\n{stderr[-2000:]}")
    return Outcome(seconds, stdout, stderr, peaks)


def call(module: str, **order: Any) -> dict[str, Any]:
    """Run a module of the bench in a process of its own, with an order; the answer is its last line, JSON."""
    outcome = run("-m", module, json.dumps(order), timeout=3600.0)
    answer: dict[str, Any] = json.loads(outcome.stdout.strip().splitlines()[-1])
    return answer


def end(process: subprocess.Popen[str]) -> None:
    """Terminate it and its children, if they are still there."""
    if process.poll() is not None:
        return
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
    if process.poll() is None:
        process.kill()
        process.wait()


@contextlib.contextmanager
def watching(pid: int, role: Callable[[psutil.Process], str]) -> Iterator[dict[str, int]]:
    """Peak memory in bytes, by role, of a process and all its descendants while the block runs."""
    peaks: dict[str, int] = {}
    over = threading.Event()

    def look() -> None:
        while True:
            with contextlib.suppress(psutil.Error):
                parent = psutil.Process(pid)
                for process in [parent, *parent.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error, OSError):
                        name = role(process)
                        peaks[name] = max(peaks.get(name, 0), peak_of(process.pid))
            if over.wait(0.1):
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def peak_of(pid: int | str = "self") -> int:
    """The most resident memory, in bytes, that a process has had so far."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return int(psutil.Process(None if pid == "self" else int(pid)).memory_info().rss)
    for line in status.read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def pin(core: int) -> bool:
    """Keep this thread and what it starts from now on to one processor core; False where that cannot be done."""
    if not hasattr(os, "sched_setaffinity") or core not in os.sched_getaffinity(0):
        return False
    os.sched_setaffinity(0, {core})
    return True


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[bool]:
    """`pin` for the length of a block; children started in it stay pinned. None pins nothing."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    try:
        yield pin(core)
    finally:
        os.sched_setaffinity(0, before)


def cores() -> tuple[int | None, int | None]:
    """Two different cores that this process may use, or (None, None) where there are fewer."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)
