"""`python -m tests.faults [PART ...] [--seed N] [--json FILE]`: kill, cut, soak; print what came of it.

Parts: embedded, kafka, network, soak; all of them where none is named. Exit code 0 when every series left exactly the
rows of an undisturbed run and memory was flat, 1 when not. The seed decides the run, the moments and their order, so a
finding can be played again (what races, such as a kill while DuckDB commits, hits another instruction each time).
Without Java and Maven there is no Apache Kafka, and no exit code 0: name the parts that you want.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.faults import scenes
from tests.faults.brokers import KafkaBrokers, ProxiedBroker
from tests.faults.chance import Chance
from tests.faults.report import as_json, kills_of, show
from tests.faults.scenes import Ground, Outcome
from tests.faults.soak import Soak, soak
from tests.faults.stage import StageError
from tests.faults.truth import RunSize
from tests.faults.truth import play as truth_of
from tests.nursery import Nursery

PARTS = ("embedded", "kafka", "network", "soak")
CUT_SECONDS = 30.0


def embedded(ground: Ground) -> Iterator[Outcome]:
    """The embedded broker: processes die beside it, and it dies itself."""
    for number in range(6):
        some = replace(ground, sink_kills=18, simulator_kills=6)
        yield scenes.embedded_processes(some, f"embedded processes {number}")
    for number in range(3):
        yield scenes.embedded_broker(replace(ground, sink_kills=3), f"embedded broker {number}", 10)


def kafka(ground: Ground) -> Iterator[Outcome]:
    """Apache Kafka: each of three brokers in turn, and a single one."""
    with KafkaBrokers(ground.folder / "three", 3) as three:
        for number in range(4):
            some = replace(ground, sink_kills=4, simulator_kills=2)
            turn = ground.chance.shuffled([1, 2, 3], "turn", number)
            yield scenes.kafka_brokers(some, f"three brokers {number}", three, turn)
    with KafkaBrokers(ground.folder / "one", 1) as one:
        for number in range(2):
            some = replace(ground, sink_kills=3, simulator_kills=1)
            yield scenes.kafka_brokers(some, f"one broker {number}", one, [1, 1, 1])


def network(ground: Ground) -> Iterator[Outcome]:
    """Cuts, on both kinds of brokers."""
    for silent in (True, False):
        how = "silent" if silent else "reset"
        with ProxiedBroker() as broker:
            yield scenes.cut(ground, f"embedded cut {how}", scenes.EMBEDDED, broker.address, broker.proxy, CUT_SECONDS,
                             silent=silent)  # fmt: skip
    with KafkaBrokers(ground.folder / "cut", 1) as one:
        assert one.proxy is not None
        for silent in (True, False):
            how = "silent" if silent else "reset"
            one.forget_topics()
            yield scenes.cut(ground, f"kafka cut {how}", scenes.ONE_KAFKA, one.address, one.proxy, CUT_SECONDS,
                             silent=silent)  # fmt: skip


def run(
    parts: list[str], options: argparse.Namespace, outcomes: list[Outcome], say: Callable[[str], None]
) -> Soak | None:
    """All that is asked for, with a line after each series, which is put to `outcomes`. StageError by the soak."""
    found: Soak | None = None
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="dayone-faults-"))
        nursery = stack.enter_context(Nursery())
        if set(parts) - {"soak"}:
            size = RunSize(options.users, 20, options.seed)
            say(f"seed {options.seed}: an undisturbed run of {size.users:,} users over {size.days:g} days")
            truth = truth_of(size, folder / "truth.duckdb")
            say(f"{truth.events:,} events; files in {folder}")
            ground = Ground(nursery, folder, truth, Chance(options.seed))
            for name, play in (("embedded", embedded), ("kafka", kafka), ("network", network)):
                for outcome in play(ground) if name in parts else ():
                    outcomes.append(outcome)
                    struck = f"{outcome.struck.total()} of {outcome.planned} faults struck in {outcome.seconds:.0f} s"
                    say(f"{outcome.series}: {struck}, database {outcome.result} ({kills_of(outcomes)} kills so far)")
        if "soak" in parts:
            say(f"soak: {options.soak_seconds:g} s at full load")
            found = soak(nursery, folder / "soak", options.soak_seconds, options.seed)
        if all(one.good for one in outcomes) and (found is None or found.good):
            shutil.rmtree(folder)
    return found


def main() -> int:
    """Read the command line, play, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Kill everything, and count.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="another seed: another run, other moments")
    parser.add_argument("--users", type=int, default=6000, help="users of the run (default: about 230,000 events)")
    parser.add_argument("--soak-seconds", type=float, default=120.0, help="length of the soak")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result there as JSON")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"unknown part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:4.0f} s] {text}", file=sys.stderr, flush=True)

    outcomes: list[Outcome] = []
    found, broken = None, False
    try:
        found = run(options.parts or list(PARTS), options, outcomes, say)
    except StageError as error:  # what was seen until then is shown all the same
        say(str(error))
        broken = True
    seconds = time.monotonic() - begun
    show(options.seed, seconds, outcomes, found)
    if options.json:
        options.json.write_text(as_json(options.seed, seconds, outcomes, found) + "\n", "utf-8")
    good = not broken and all(one.good for one in outcomes) and (found is None or found.good)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
