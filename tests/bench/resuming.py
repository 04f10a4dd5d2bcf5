"""Resume: a run of many events is killed near its end and started again; how long until the first new event is sent?

Three starts of the same command on one broker: from its checkpoints, without them (everything is played again), and
once more when the run is complete. The clock starts before the process does, so Python's imports count. What the
checkpoints cost is what the simulator logs about them at its end.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from simulator.broker import EmbeddedBroker, free_port
from tests.bench.figures import Figure
from tests.bench.processes import ROOT, BenchError, end, environment
from tests.bench.simulating import PACK

GOAL_SECONDS, GOAL_PERCENT = 5.0, 2.0
ENOUGH_EVENTS = 10_000_000
COST = re.compile(r"(\d+) checkpoints of ([\d.]+) MB took ([\d.]+) s of ([\d.]+) s")


def sent(port: int) -> float:
    """Events that the simulator with its metrics on this port has sent; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (OSError, urllib.error.URLError):
        return 0.0
    return sum(float(value) for value in re.findall(r"^dayone_simulator_events_total\{.*\} (\S+)$", text, re.MULTILINE))


class _Started:
    """One `dayone simulate`, and when it was started."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.port = free_port("127.0.0.1")
        self.err = folder / f"{self.port}.err"
        self.out = folder / f"{self.port}.out"
        self.begun = time.monotonic()
        with self.err.open("wb") as err, self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dayone", "simulate", *words, "--metrics-port", str(self.port), "--json"],
                cwd=ROOT, env=environment(), stdout=out, stderr=err,
            )  # fmt: skip

    @property
    def processor_seconds(self) -> float:
        """Processor time of all its threads so far, which does not depend on what else the machine does."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def until(self, enough: float, timeout: float, say: Callable[[str], None] = lambda text: None) -> float:
        """Seconds from the start until so many events were sent, or until the end where it comes before."""
        told = 0.0
        while self.process.poll() is None:
            done, now = sent(self.port), time.monotonic()
            if done >= enough:
                return now - self.begun
            if done - told >= 2_000_000:
                told = done
                say(f"resume: {done:,.0f} events sent")
            if now - self.begun > timeout:
                raise BenchError(f"only {done:,.0f} events were sent within {timeout:g} s")
            time.sleep(0.01)
        if self.process.returncode != 0:
            raise BenchError(f"dayone simulate: exit code {self.process.returncode}\n{self.err.read_text()[-2000:]}")
        return time.monotonic() - self.begun


@contextlib.contextmanager
def started(words: list[str], folder: Path) -> Iterator[_Started]:
    """`dayone simulate` with these words; ended whatever happens."""
    one = _Started(words, folder)
    try:
        yield one
    finally:
        end(one.process)


def measure(users: int, days: float, events: int, say: Callable[[str], None]) -> list[Figure]:
    """Kill the run after so many events, or as many as it has; then go on with it in three ways."""
    with tempfile.TemporaryDirectory() as name, EmbeddedBroker() as broker:
        folder = Path(name)
        words = [PACK, "--users", str(users), "--days", str(days), "--bootstrap-servers", broker.bootstrap_servers]
        with started(words, folder) as first:
            seconds = first.until(events, 1800.0, say)
            if first.process.poll() is not None:
                raise BenchError(f"the run ended before {events:,} events; give it more users or days")
            first.process.send_signal(signal.SIGKILL)
        done = events
        say(f"resume: killed after {done:,} events and {seconds:.0f} s")
        with started([*words, "--no-checkpoints"], folder) as replayed:
            whole = replayed.until(1, 600.0)
            replayed.process.send_signal(signal.SIGKILL)
        say(f"resume: first new event after {whole:.1f} s without checkpoints")
        with started(words, folder) as resumed:
            quick = resumed.until(1, 600.0)
            busy = resumed.processor_seconds
            say(f"resume: first new event after {quick:.1f} s")
            resumed.until(float("inf"), 1800.0)
            told = COST.search(resumed.err.read_text())
        if told is None:
            raise BenchError("the simulator did not say what its checkpoints cost")
        with started(words, folder) as again:
            idle = again.until(float("inf"), 600.0)
            answer = json.loads(again.out.read_text())
            if answer["events"]:
                raise BenchError(f"a completed run sent {answer['events']} events")
        memory = broker.memory_bytes
    count, megabytes, cost, total = (float(value) for value in told.groups())
    goal = GOAL_SECONDS if done >= ENOUGH_EVENTS else None
    note = f"{done:,} events done, {users:,} users" + ("" if goal else "; no goal: fewer events than that")
    return [
        Figure("resume", "process start to first new event", quick, "s", goal=goal, smaller=True, note=note),
        Figure("resume", "processor time of that", busy, "s", smaller=True),
        Figure("resume", "the same without checkpoints", whole, "s", smaller=True),
        Figure("resume", "a completed run, start to exit", idle, "s", goal=goal, smaller=True),
        Figure("resume", "time that checkpoints took", 100 * cost / total, "%", goal=GOAL_PERCENT, smaller=True),
        Figure("resume", "size of a checkpoint", megabytes / max(count, 1), "MB", smaller=True,
               note=f"{count:.0f} in the resumed part; {1e6 * megabytes / max(count, 1) / users:.0f} bytes per user"),
        Figure("resume", "memory of the broker", memory / 1e6, "MB", smaller=True),
    ]  # fmt: skip
