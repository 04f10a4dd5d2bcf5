"""Training sets: how the time and the memory of a `next_event` set grow with the events of the store.

A run is played once and stored; larger stores are made of copies of its users under other names, by SQL. Each build is
a process of its own, so that its memory and its processor time are its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.processes import ROOT, BenchError, environment

#: Columns that have a user's name in them, by table.
NAMED = {
    "events": ("event_id", "session_id", "user_id"),
    "sessions": ("session_id", "user_id"),
    "users": ("user_id",),
    "labels": ("label_id", "session_id", "user_id"),
}
GOAL_SECONDS, GOAL_GIGABYTES, GOAL_EVENTS = 60.0, 4.0, 10_000_000


def measure(users: int, days: float, sizes: tuple[int, ...], say: Callable[[str], None]) -> list[Figure]:
    """A build for each size (events, about), smallest first."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "bench.duckdb"
        _fill(store, users, days)
        copies = 1
        for size in sizes:
            events = _grow(store, size, copies)
            copies += 100
            say(f"training: next_event of {events:,} events")
            took = _build(store, Path(folder) / f"out-{size}")
            goal = size >= GOAL_EVENTS
            name = f"next_event of {events:,} events"
            note = f"{took['processor_seconds']:.0f} s of processor time"
            found += [
                Figure("training", name, took["seconds"], "s", goal=GOAL_SECONDS if goal else None, smaller=True,
                       note=note),
                Figure("training", f"{name}, peak memory", took["gigabytes"], "GB",
                       goal=GOAL_GIGABYTES if goal else None, smaller=True),
            ]  # fmt: skip
    return found


def _fill(path: Path, users: int, days: float) -> None:
    from personas.population import DAY_MS
    from simulator.producer import MemoryProducer
    from sinks.store import Store
    from tests.runs import pack_of, simulation_of, store_records

    producer = MemoryProducer()
    simulation_of("shop", users=users, producer=producer).advance(round(days * DAY_MS))
    with Store.open(path) as store:
        store_records(store, pack_of("shop"), producer.records)


def _grow(path: Path, size: int, first: int) -> int:
    """Add copies of the first users until there are about `size` events; how many there are."""
    from sinks.store import Store

    with Store.open(path, memory_limit="2GB") as store:
        now, original = store.query(
            "SELECT count(*) AS now, count(*) FILTER (user_id NOT LIKE 'copy%') AS original FROM events"
        ).to_pylist()[0].values()  # fmt: skip
        copies = range(first, first + max(0, round((size - now) / original)))
        for table, columns in NAMED.items():
            named = ", ".join(f"'copy' || copy || '-' || {column} AS {column}" for column in columns)
            store.query(
                f"INSERT INTO {table} SELECT {table}.* REPLACE ({named}) FROM {table}, unnest(?::INTEGER[]) AS c(copy) "
                "WHERE user_id NOT LIKE 'copy%'",
                [list(copies)],
            )
        return int(store.query("SELECT count(*) FROM events").column(0)[0].as_py())


def _build(store: Path, out: Path) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, str(store), str(out)]
    ended = subprocess.run(command, cwd=ROOT, env=environment(), text=True, capture_output=True)
    if ended.returncode:
        raise BenchError(f"the build failed: {ended.stderr.strip()}")
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def main(store: str, out: str) -> None:
    """One build: the rows as `dayone build` writes them, without judging and papers."""
    from sinks.store import Store
    from sinks.training.registry import task_of
    from sinks.training.selection import choose
    from sinks.training.split import Split
    from sinks.training.writing import write_parts

    begun = time.monotonic()
    task = task_of("next_event")
    with Store.open(store, read_only=True, memory_limit="3GB") as database:
        choose(database, product=None, runs=(), split=Split())
        write_parts(database, task.query(task.options()), Path(out), lambda done, of, rows: None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "seconds": time.monotonic() - begun,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "gigabytes": used.ru_maxrss / 1e6,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
