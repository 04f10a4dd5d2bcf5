"""`python -m tests.bench [PART ...] [--json]`: measure the program, and print a table or JSON.

Parts: simulator, sink, readers, end_to_end, memory; all of these where none is named. And resume, which takes some
minutes: ten million events are sent before the run is killed and started again. And shards, which needs Apache Kafka
(Java and Maven): the same run by one, two and four simulators. And lake: one, two and four processes write one. And
agents: 100,000 decisions of a language model that answers at once, one process. And
teaching: students of known truths. And training: next_event sets of stores of one to ten million events. And
twins: a model is fitted on a million events. Exit
code 0 when everything could be measured, whether a goal was met or not; 1 when something could not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from personas.errors import DayoneError
from tests.bench import (
    asking,
    days,
    lake,
    reading,
    resuming,
    sharding,
    storing,
    teaching,
    training,
    twins,
    walking,
    whole,
)
from tests.bench.figures import Figure, as_json, machine, show
from tests.bench.processes import BenchError
from tests.bench.simulating import figures_of, filled_broker

EXTRA = ("agents", "resume", "shards", "lake", "teaching", "training", "twins")
PARTS = ("simulator", "sink", "readers", "end_to_end", "memory")


def measure(parts: list[str], options: argparse.Namespace, say: Callable[[str], None]) -> list[Figure]:
    """The figures of the parts, in the order of PARTS. The sink reads what the simulator wrote."""
    found: list[Figure] = []
    if {"simulator", "sink", "readers"} & set(parts):
        say(f"simulator: {options.users:,} users, {options.days:g} days, then the same messages ready-made")
        with filled_broker(options.users, options.days) as filled:
            if "simulator" in parts:
                found += figures_of(filled.answer)
            if "sink" in parts:
                say("sink: all of it into a database, then each part of that alone")
                found += storing.measure(filled)
            if "readers" in parts:
                say(f"readers: the sink alone and with {reading.READERS} readers, in turns")
                found += reading.measure(filled)
    if "end_to_end" in parts:
        say("end_to_end: dayone up, from persona files to committed rows")
        found += whole.measure(options.users, options.days, found)
    if "memory" in parts:
        say(f"memory: {options.memory_users:,} users for {' and '.join(map(str, days.DAYS))} virtual days")
        found += days.measure(options.memory_users)
    if "agents" in parts:
        say(f"agents: {options.decisions:,} decisions of a language model that answers at once")
        found += asking.measure(options.decisions)
        say("agents: sessions played again from recordings")
        found += walking.measure()
    if "resume" in parts:
        say(f"resume: {options.resume_events:,} events, a kill, and three starts of the same command")
        found += resuming.measure(options.resume_users, options.resume_days, options.resume_events, say)
    if "shards" in parts:
        say(f"shards: {options.users:,} users, {options.days:g} days, by 1, 2 and 4 simulators on Apache Kafka")
        found += sharding.measure(options.users, options.days, say)
    if "lake" in parts:
        say("lake: one, two and four processes commit to one lake, beside a DuckDB file")
        found += lake.measure()
    if "teaching" in parts:
        say("teaching: 2,000 visits of each oracle in each pack, then one large fit")
        found += teaching.measure(options.decisions_taught, say)
    if "training" in parts:
        say(f"training: a store of {options.users:,} users, {options.days:g} days, then larger ones")
        found += training.measure(options.users, options.days, tuple(options.training_events), say)
    if "twins" in parts:
        found += twins.measure(options.twin_events, say)
    return found


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Every stage beside its raw limit.")
    parts = f"any of: {', '.join(PARTS)} (default: all of these), {', '.join(EXTRA)}"
    parser.add_argument("parts", nargs="*", metavar="PART", help=parts)
    parser.add_argument("--users", type=int, default=20_000, help="users of the run (default: over 1,000,000 events)")
    parser.add_argument("--days", type=float, default=30.0, help="virtual days of the run")
    parser.add_argument("--memory-users", type=int, default=5_000, help="users of the memory part")
    parser.add_argument("--resume-users", type=int, default=200_000, help="users of the resume part")
    parser.add_argument("--resume-days", type=float, default=28.0, help="virtual days of the resume part")
    parser.add_argument("--resume-events", type=int, default=10_000_000, help="events before the kill")
    parser.add_argument(
        "--training-events", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000],
        help="sizes of the stores of the training part",
    )  # fmt: skip
    parser.add_argument("--decisions", type=int, default=100_000, help="decisions of the agents part")
    parser.add_argument("--decisions-taught", type=int, default=1_000_000, help="of the large fit of the teaching part")
    parser.add_argument("--twin-events", type=int, default=1_000_000, help="events of the log of the twins part")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - {*PARTS, *EXTRA})
    if unknown:
        parser.error(f"unknown part {', '.join(unknown)}; there are {', '.join((*PARTS, *EXTRA))}")
    about, begun = machine(), time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:4.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        found = measure(options.parts or list(PARTS), options, say)
    except (BenchError, DayoneError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    say("done")
    if options.json:
        print(as_json(found, about))
    else:
        show(found, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
