"""Twins: how long a model takes to be fitted on a million events, and how fast sessions are drawn from it.

The log is made here: a small one with a known law, a model of it, and a large log drawn from that model.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from simulator.twins.draw import sample
from simulator.twins.fit import fit
from simulator.twins.model import FitOptions
from tests.bench.figures import Figure
from tests.simulator.twins.knowing import promises

GOAL_SECONDS, GOAL_RATE = 60.0, 100_000.0


def measure(events: int, say: Callable[[str], None]) -> list[Figure]:
    """Seconds of a fit on about so many events, and events per second drawn; beside both, processor time."""
    say(f"twins: a log of about {events:,} events is made")
    small = promises(600)
    log = sample(fit(small, FitOptions()), round(events * 600 / small.num_rows), np.uint64(1))
    say(f"twins: fit on {log.num_rows:,} events")
    begun = time.monotonic(), time.process_time()
    model = fit(log, FitOptions())
    fitted = time.monotonic(), time.process_time()
    say("twins: draw as many sessions")
    drawn = sample(model, len(log["session_id"].unique()), np.uint64(2)).num_rows
    ended = time.monotonic(), time.process_time()
    spent, used = fitted[0] - begun[0], fitted[1] - begun[1]
    whole = log.num_rows >= 900_000
    return [
        Figure(
            "twins", f"fit of {log.num_rows:,} events", spent, "s", goal=GOAL_SECONDS if whole else None,
            smaller=True, note=f"{used:.0f} s of processor time",
        ),
        Figure(
            "twins", "sessions drawn", drawn / (ended[0] - fitted[0]), "events/s",
            goal=GOAL_RATE if whole else None,
            note=f"{drawn / (ended[1] - fitted[1]):,.0f} events per second of processor time",
        ),
    ]  # fmt: skip
