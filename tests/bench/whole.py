"""End to end: `dayone up`, from persona files to committed rows, in a fresh database.

Two clocks: the whole command, which includes Python's imports, the start of the broker and the summary; and what the
sink says about itself, from the first message that reached it to its last commit. The raw limit of both is the
slowest of the raw limits of the parts, where those were measured in the same run.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.bench.figures import Figure
from tests.bench.processes import BenchError, run
from tests.bench.simulating import PACK
from tests.bench.storing import check_stored, last_line

ENOUGH_EVENTS = 1_000_000
GOAL_SECONDS = 10.0
ROLES = ("simulator", "sink", "broker")


def role(process: psutil.Process) -> str:
    """Which part of the program a process is."""
    if process.name().startswith("tansu"):
        return "broker"
    words = process.cmdline()
    if "sink" in words:
        return "sink"
    if "up" in words:
        return "simulator"
    return "other"


def measure(users: int, days: float, measured: Sequence[Figure]) -> list[Figure]:
    """Run `dayone up` once; `measured` holds the figures of the parts, if they were measured."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "bench.duckdb"
        whole = run(
            "-m", "dayone", "up", PACK, "--users", str(users), "--days", str(days), "--store", str(store),
            "--metrics-port", "0", "--json", role=role,
        )  # fmt: skip
        done = json.loads(whole.stdout)
        stored, seconds, rate = last_line(whole.stderr)
        if stored != done["events"]:
            raise BenchError(f"{done['events']} events were sent, {stored} stored")
        check_stored(store, done["events"])
    slowest = min((figure for figure in measured if figure.raw and figure.unit == "events/s"),
                  key=lambda figure: figure.raw or 0.0, default=None)  # fmt: skip
    raw, raw_name = (slowest.raw, slowest.raw_name) if slowest else (None, "")
    events = done["events"]
    enough = events >= ENOUGH_EVENTS
    few = "" if enough else f"no goal: fewer than {ENOUGH_EVENTS:,} events"
    figures = [
        Figure("end_to_end", "first message to last commit", rate, "events/s", raw, raw_name, 100_000,
               note=f"{events:,} events in {seconds:g} s"),
        Figure("end_to_end", "command, start to exit", events / whole.seconds, "events/s", raw, raw_name),
        Figure("end_to_end", "command, start to exit", whole.seconds, "s",
               goal=GOAL_SECONDS if enough else None, smaller=True, note=few),
    ]  # fmt: skip
    return figures + [
        Figure("end_to_end", f"peak memory of the {name}", whole.peaks.get(name, 0) / 1e6, "MB", smaller=True)
        for name in ROLES
    ]
