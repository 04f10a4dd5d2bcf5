"""Memory over virtual days: the same users for 30 and for 300 days, played into nothing.

What a run keeps must not grow with its length. Both runs are processes of their own; they may run side by side, for
only their peak memory is measured.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from simulator.producer import MemoryProducer
from tests.bench.figures import Figure
from tests.bench.processes import call, peak_of
from tests.bench.simulating import PACK, PARTITIONS

DAYS = (30, 300)
GOAL_PERCENT = 20.0


class NullProducer(MemoryProducer):
    """Takes everything and keeps nothing."""

    def send(self, topic: str, values: Sequence[bytes], keys: Sequence[bytes], partitions: Sequence[int]) -> None:
        """Drop it."""


def measure(users: int) -> list[Figure]:
    """Both runs at once; the longer one beside the shorter."""
    with ThreadPoolExecutor(len(DAYS)) as pool:
        orders = [pool.submit(call, __name__, users=users, days=days) for days in DAYS]
        short, long = (order.result() for order in orders)
    growth = (long["peak"] / short["peak"] - 1.0) * 100
    found = [
        Figure("memory", f"{days} virtual days, {users:,} users", answer["peak"] / 1e6, "MB", smaller=True,
               note=f"{answer['events']:,} events")
        for days, answer in zip(DAYS, (short, long), strict=True)
    ]  # fmt: skip
    name = f"growth from {DAYS[0]} to {DAYS[1]} days"
    return [*found, Figure("memory", name, growth, "%", goal=GOAL_PERCENT, smaller=True)]


def main(order: dict[str, Any]) -> None:
    """The measured process: one run into nothing."""
    from personas.pack import load_pack
    from personas.provenance import RunIdentity
    from simulator.clock import WallClock
    from simulator.partitioner import Shard
    from simulator.run import Plan, Run
    from simulator.simulation import Simulation
    from simulator.steering import Steering

    pack = load_pack(PACK)
    identity = RunIdentity(
        product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint, seed=1,
        users=order["users"], start=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    producer = NullProducer()
    simulation = Simulation(pack, identity, Shard(0, 1, PARTITIONS), producer)
    plan, steering = Plan(float(order["days"])), Steering(identity.run_id)
    Run(simulation, producer, plan, clock=WallClock(), steering=steering, stop=threading.Event()).play()
    print(json.dumps({"peak": peak_of(), "events": simulation.progress.total_events}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
