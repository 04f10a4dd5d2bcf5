"""The series of faults: which kills and blows, on which broker, in which order. Each gives an `Outcome`.

A series is one run, at full speed, into one new database. While it goes, what the series says is killed or cut, each at
a moment drawn from the seed; at the end the database is compared with the undisturbed run. All series of one broker
kind play the same run, so the truth is played once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from simulator.broker import EmbeddedBroker
from tests.faults.brokers import KafkaBrokers, ProxiedBroker
from tests.faults.chance import Chance
from tests.faults.proxy import TcpProxy
from tests.faults.stage import ANY_TIME, Blow, Kill, Stage, StageError, commands
from tests.faults.truth import Truth, Verdict, judge
from tests.faults.victim import SIMULATOR_MOMENTS, SINK_MOMENTS
from tests.nursery import Nursery, Starter

EMBEDDED, ONE_KAFKA, THREE_KAFKA = "embedded", "Apache Kafka, 1", "Apache Kafka, 3"


@dataclass
class Outcome:
    """What one series did and what came of it."""

    series: str
    broker: str
    struck: Counter[str] = field(default_factory=Counter)
    planned: int = 0
    noticed: int = 0
    crashed: int = 0
    events: int = 0
    seconds: float = 0.0
    verdict: Verdict | None = None
    trouble: str = ""

    @property
    def good(self) -> bool:
        """Whether the database is the truth."""
        return self.verdict is not None and self.verdict.good and not self.trouble

    @property
    def result(self) -> str:
        """In a few words."""
        return self.trouble or str(self.verdict)


@dataclass(frozen=True)
class Ground:
    """Where series are played: who starts processes, a folder, the truth, the seed, and how many kills of each kind."""

    nursery: Nursery
    folder: Path
    truth: Truth
    chance: Chance
    sink_kills: int = 0
    simulator_kills: int = 0


def sink_kills(ground: Ground, series: str, batches: int) -> list[Kill]:
    """Each moment as often as another, in seeded order, each after 1 to `batches` batches or some tenths of seconds."""
    moments = [*SINK_MOMENTS, ANY_TIME]
    wanted = [moments[number % len(moments)] for number in range(ground.sink_kills)]
    chance = ground.chance
    return [
        Kill(moment, chance.between(1, batches, series, "batch", number),
             chance.uniform(series, "delay", number) * (0.4 if moment == ANY_TIME else 0.02))
        for number, moment in enumerate(chance.shuffled(wanted, series, "sink"))
    ]  # fmt: skip


def simulator_kills(ground: Ground, series: str, events: int) -> list[Kill]:
    """Half of them from outside, half in the middle of a chunk after up to `events` events."""
    moments = [*SIMULATOR_MOMENTS, ANY_TIME]
    wanted = [moments[number % len(moments)] for number in range(ground.simulator_kills)]
    chance = ground.chance
    return [
        Kill(moment, chance.between(events // 10, events, series, "events", number),
             chance.uniform(series, "pause", number) * (0.4 if moment == ANY_TIME else 0.08))
        for number, moment in enumerate(chance.shuffled(wanted, series, "simulator"))
    ]  # fmt: skip


def play(
    ground: Ground, series: str, kind: str, servers: str, blows: Sequence[Blow] = (), *, timeout: float = 300.0
) -> Outcome:  # fmt: skip
    """One series: set the stage, let it play, judge what is left."""
    truth, folder, begun = ground.truth, ground.folder / series.replace(" ", "-"), time.monotonic()
    folder.mkdir(parents=True)
    # So small that the kills fall all over the run, so large that the sink is not held up by commits.
    rows = max(200, truth.messages // (4 * (ground.sink_kills + 2)))
    events = max(100, truth.events // (ground.simulator_kills + 1))
    simulator, sink = commands(
        servers, truth.size.words, folder / "run.duckdb", batch_rows=rows,
        batch_events=max(1000, events // 8),
    )  # fmt: skip
    simulator.kills, sink.kills = simulator_kills(ground, series, events), sink_kills(ground, series, 4)
    planned = len(simulator.kills) + len(sink.kills) + len(blows)
    starter = Starter(ground.nursery, folder)
    stage = Stage(starter, simulator, sink, list(blows), timeout)
    outcome = Outcome(series, kind, planned=planned, events=truth.events)
    try:
        stage.play()
        outcome.verdict = judge(folder / "run.duckdb", truth)
    except StageError as error:
        outcome.trouble = str(error)
    finally:
        starter.end()
    outcome.struck, outcome.noticed, outcome.crashed = stage.struck, stage.noticed, stage.crashed
    outcome.seconds = time.monotonic() - begun
    return outcome


def embedded_broker(ground: Ground, series: str, times: int) -> Outcome:
    """The embedded broker is killed and followed by an empty one, again and again; everything on it is gone."""
    chance, events = ground.chance, ground.truth.events
    with ProxiedBroker() as broker:
        blows = [
            Blow(
                "broker: killed, an empty one in its place",
                chance.between(events // 20, events * 9 // 10, series, "blow", number),
                partial(broker.replace, topics=chance.uniform(series, "topics", number) < 0.5),
                forgets=True,
            )
            for number in range(times)
        ]
        return play(ground, series, EMBEDDED, broker.address, blows)


def embedded_processes(ground: Ground, series: str) -> Outcome:
    """Simulator and sink are killed; the embedded broker stays."""
    with EmbeddedBroker() as broker:
        return play(ground, series, EMBEDDED, broker.bootstrap_servers)


def kafka_brokers(ground: Ground, series: str, kafka: KafkaBrokers, numbers: list[int]) -> Outcome:
    """The brokers of these numbers are killed one after the other, and the processes as the ground says."""
    chance, events = ground.chance, ground.truth.events
    kafka.forget_topics()
    kind = ONE_KAFKA if kafka.proxy else THREE_KAFKA
    # The count begins anew with a simulator that was killed: no blow waits for more than one of its lives sends.
    span = events // (ground.simulator_kills + 1) // (len(numbers) + 1)
    blows = [
        Blow(
            f"broker{'' if kafka.proxy else f' {number} of three'}: killed and started again",
            (turn + 1) * span, partial(kafka.kill, number, 2 * chance.uniform(series, "pause", turn)),
        )
        for turn, number in enumerate(numbers)
    ]  # fmt: skip
    outcome = play(ground, series, kind, kafka.address, blows)
    kafka.settle()
    return outcome


def cut(ground: Ground, series: str, kind: str, address: str, proxy: TcpProxy, seconds: float, *, silent: bool) \
        -> Outcome:  # fmt: skip
    """The network between everybody and the broker is gone for so long: without a word, or with resets."""

    def deal() -> None:
        (proxy.stall if silent else proxy.sever)()
        time.sleep(seconds)
        proxy.restore()

    how = "nothing passes" if silent else "connections reset"
    after = ground.chance.between(ground.truth.events // 10, ground.truth.events // 2, series, "cut")
    return play(ground, series, kind, address, [Blow(f"network: cut for {seconds:g} s, {how}", after, deal)])
