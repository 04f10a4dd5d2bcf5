"""The soak: simulator, Apache Kafka and sink at full load for minutes, and the memory of each process sampled.

Flat means: the straight line fitted through the second half of the samples rises, over that half, by no more than
`ALLOWED_SHARE` of their mean. (Until a cache is as large as it may be, a process grows and has no leak; that is what
the first half is for.) A population that grows needs memory for it, and one that leaves is played out before its time
on a fast machine: so the users of a soak stay. The embedded broker is no subject of this: it keeps what it is given, by
design.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from personas.pack import SHIPPED
from tests.faults.brokers import KafkaBrokers
from tests.faults.stage import StageError, commands
from tests.integration.program import PACK, ask, until
from tests.nursery import Nursery, Starter

#: How much a process may grow in the second half of a soak, as a share of its mean there.
ALLOWED_SHARE = 0.05
#: All of them sign up in the first weeks, and nobody ever leaves (see `stayers`): the engine is full for ten years.
USERS, DAYS = 20_000, 3650


@dataclass
class Memory:
    """Resident memory of one process over time."""

    name: str
    seconds: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)

    @property
    def peak(self) -> int:
        """The largest sample, in bytes."""
        return max(self.bytes)

    @property
    def mean(self) -> float:
        """Of the second half, in bytes."""
        half = self.bytes[len(self.bytes) // 2 :]
        return sum(half) / len(half)

    @property
    def growth(self) -> float:
        """What the fitted line of the second half rises over that half, as a share of its mean."""
        start = len(self.bytes) // 2
        return rise(self.seconds[start:], self.bytes[start:]) / self.mean

    @property
    def flat(self) -> bool:
        """See the module's text."""
        return self.growth <= ALLOWED_SHARE


@dataclass
class Soak:
    """What a soak measured. `stored` events, of them `distinct`; `sent` is what the simulator says."""

    seconds: float
    sent: int
    stored: int
    distinct: int
    memory: list[Memory]

    @property
    def good(self) -> bool:
        """Nothing lost, nothing twice, memory flat."""
        return self.sent == self.stored == self.distinct and all(one.flat for one in self.memory)


def rise(times: list[float], values: list[int]) -> float:
    """How much the least-squares line through the points rises from the first time to the last."""
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((each - middle) ** 2 for each in times)
    slope = sum((each - middle) * (value - mean) for each, value in zip(times, values, strict=True)) / spread
    return slope * (times[-1] - times[0])


def stayers(folder: Path) -> Path:
    """A copy of the shop's pack in which no user ever churns: after its sign-ups the population neither grows nor
    shrinks, however long it is played."""
    pack = folder / PACK
    shutil.copytree(SHIPPED / PACK, pack)
    for persona in sorted((pack / "personas").glob("*.yaml")):
        text, changed = re.subn(r"(?m)^churn: .*$", "churn: 0", persona.read_text(encoding="utf-8"))
        if changed != 1:
            raise StageError(f"{persona.name}: found {changed} lines 'churn:', expected one")
        persona.write_text(text, encoding="utf-8")
    return pack


def soak(nursery: Nursery, folder: Path, seconds: float, seed: int) -> Soak:
    """Run for so long, drain, count."""
    folder.mkdir(parents=True)
    store, starter = folder / "soak.duckdb", Starter(nursery, folder)
    with KafkaBrokers(folder / "kafka", 1, proxied=False) as kafka:
        words = (stayers(folder), "--users", USERS, "--days", DAYS, "--seed", seed, "--json")
        writer, reader = commands(kafka.address, words, store, batch_rows=50_000, batch_events=100_000)
        sink = starter(*reader.words, env=reader.environment)
        simulator = starter(*writer.words, env=writer.environment)
        processes = {"simulator": simulator.process.pid, "sink": sink.process.pid, "broker": kafka.pids[0]}
        try:
            until(lambda: store.exists() and store.stat().st_size > 10_000_000, simulator, sink, timeout=90)
            memory = watch(processes, seconds)
            simulator.signal(signal.SIGTERM)
            simulator.wait(90)
            sink.signal(signal.SIGTERM)
            sink.wait(300)
            sent = json.loads(simulator.out)["events"]
        finally:
            starter.end()
    stored, distinct = ask(store, "SELECT count(*), count(DISTINCT event_id) FROM events")[0]
    return Soak(seconds, sent, stored, distinct, memory)


def watch(processes: dict[str, int], seconds: float) -> list[Memory]:
    """Sample the resident memory of these processes twice a second. StageError where one ends before its time: then it
    is not known whether it would have stayed flat (a simulator that has played all of its users needs more of them).
    """
    found = [Memory(name) for name in processes]
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
        for one, pid in zip(found, processes.values(), strict=True):
            one.seconds.append(now)
            try:
                one.bytes.append(int(psutil.Process(pid).memory_info().rss))
            except psutil.NoSuchProcess:
                raise StageError(f"the {one.name} ended after {now:.0f} of the {seconds:g} s of the soak") from None
        time.sleep(0.5)
    return found
