"""The same seed gives the same messages: in one shard or four, in small batches or large, in one go or with crashes.

What is compared is one SHA-256 over the sorted topics, keys and values of everything that a run sent, manifests left
out. A crash is played by taking an arbitrary end off every partition; the run then resumes from what is left, as it
would from a broker, with a reader of the last records that works on a list.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from personas.connection import KafkaConnection
from personas.population import DAY_MS
from personas.provenance import RunManifest
from personas.topics import CHECKPOINTS, RUNS
from simulator.checkpointer import Checkpointer, CheckpointPlan, go_on, place_of
from simulator.clock import FakeClock
from simulator.daemon import steering_after
from simulator.producer import MemoryProducer, Record
from simulator.resume import held_manifest, held_positions
from simulator.run import Helm, Plan, Run
from tests.runs import PACKS, simulation_of

USERS, DAYS = 120, 7.0
#: Topics that are no data; a crash leaves them as they are.
KEPT = (RUNS, CHECKPOINTS)
#: Checkpoints as often as can be, and a little rarer.
OFTEN, RARER = (CheckpointPlan(number, share=1.0) for number in (40, 300))
NO_SHRINKING = (Phase.explicit, Phase.generate)
CUTS = st.lists(st.floats(0, 1), min_size=20, max_size=20)


def digest(records: Iterable[Record]) -> str:
    """SHA-256 over what was sent, in any order; how often counts."""
    lines = sorted(
        b"\x00".join((r.topic.encode(), str(r.partition).encode(), r.key, r.value))
        for r in records
        if r.topic not in KEPT
    )
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


@dataclass
class Pilot:
    """Steering that changes its mind: from each instant on (milliseconds of the run) the given rates, and a stop."""

    changes: list[tuple[int, float, float]] = field(default_factory=list)
    stop_at: int | None = None
    now: Callable[[], int] = lambda: 0
    paused: bool = False

    def _rates(self) -> tuple[float, float]:
        passed = [(problems, arrivals) for at, problems, arrivals in self.changes if at <= self.now()]
        return passed[-1] if passed else (1.0, 1.0)

    @property
    def stopped(self) -> bool:
        return self.stop_at is not None and self.now() >= self.stop_at

    @property
    def problem_rate(self) -> float:
        return self._rates()[0]

    @property
    def arrival_rate(self) -> float:
        return self._rates()[1]


def tail_of(records: list[Record]) -> Callable[..., dict[int, bytes | None]]:
    """`read_tail` on a list: the last record of each partition that is wanted."""

    def read_tail(
        connection: KafkaConnection, topic: str, partitions: Iterable[int], wanted: Callable[[bytes], bool]
    ) -> dict[int, bytes | None]:
        last: dict[int, bytes | None] = dict.fromkeys(partitions)
        for record in records:
            if record.topic == topic and record.partition in last and wanted(record.value):
                last[record.partition] = record.value
        return last

    return read_tail


def windows_of(records: list[Record], wanted: Callable[[bytes], bool]) -> Iterator[list[tuple[bytes, bytes]]]:
    """`windows_back` on a list."""
    kept = [(record.key, record.value) for record in records if record.topic == CHECKPOINTS and wanted(record.key)]
    for end in range(len(kept), 0, -3):
        yield kept[max(0, end - 3) : end]


def play(
    name: str, *, days: float = DAYS, shard: str = "0/1", batch: int = 100_000, held: list[Record] | None = None,
    pilot: Pilot | None = None, checkpoints: CheckpointPlan | None = None, live: bool = False,
) -> tuple[list[Record], Run]:  # fmt: skip
    """Play (or go on with) a run as the daemon does; what the topics hold afterwards, and the run."""
    producer = MemoryProducer(records=list(held or []))
    simulation = simulation_of(name, users=USERS, shard=shard, producer=producer)
    earlier: RunManifest | None = None
    if held is not None:
        place = (KafkaConnection(), simulation.identity)
        tail = tail_of(held)
        simulation.resume(held_positions(*place, simulation.population, simulation.shard, tail))
        earlier = held_manifest(*place, simulation.shard, tail)
    checkpointer = None
    if checkpoints is not None:
        whose, slot = place_of(simulation), None
        if held is not None:
            slot = go_on(simulation, whose, earlier, windows_of(held, whose.owns))
        checkpointer = Checkpointer(simulation, producer, whose, checkpoints, FakeClock(), 1 - (slot or 0))
    steering: Helm = pilot or steering_after(simulation.identity.run_id, earlier)
    if pilot is not None:
        pilot.now = lambda: simulation.played_until
    run = Run(
        simulation, producer, Plan(days=days, live=live, speed=20_000.0, batch_events=batch),
        clock=FakeClock(), steering=steering, stop=threading.Event(), earlier=earlier,
        checkpointer=checkpointer,
    )  # fmt: skip
    run.play()
    return producer.records, run


def crashed(records: list[Record], kept: Callable[[str, int, int], int]) -> list[Record]:
    """What is left when every partition of every data topic loses its end; `kept(topic, partition, count)` stay."""
    by_partition: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        by_partition.setdefault((record.topic, record.partition), []).append(record)
    return [
        record
        for (topic, partition), some in by_partition.items()
        for record in (some if topic in KEPT else some[: kept(topic, partition, len(some))])
    ]


@lru_cache
def whole(name: str) -> tuple[Record, ...]:
    return tuple(play(name)[0])


@pytest.mark.parametrize("name", PACKS)
def test_shards_and_batches_change_nothing(name: str) -> None:
    once = digest(whole(name))
    assert sum(record.topic.endswith(".events") for record in whole(name)) > 800
    four = [record for index in range(4) for record in play(name, shard=f"{index}/4")[0]]
    assert digest(four) == once
    assert digest(play(name, batch=1000)[0]) == once
    assert digest(record for record in whole(name)[:-3]) != once


def test_each_partition_is_in_the_same_order_whatever_the_batch() -> None:
    """Resuming rests on this: the last record of a partition says that all before it are there."""
    small, large = play("shop", batch=1000)[0], whole("shop")
    for topic in {record.topic for record in large} - {*KEPT}:
        for partition in range(4):
            values = [[r.value for r in rs if (r.topic, r.partition) == (topic, partition)] for rs in (small, large)]
            assert values[0] == values[1]


@pytest.mark.parametrize("name", PACKS)
def test_stopped_half_way_and_resumed(name: str) -> None:
    half, run = play(name, batch=60, pilot=Pilot(stop_at=round(DAYS * DAY_MS / 2)))
    assert run.state == "stopped" and digest(half) != digest(whole(name))
    again, second = play(name, held=half)
    assert second.state == "completed" and second.resumed_until > 0
    assert digest(again) == digest(whole(name))


def test_a_longer_run_continues_a_shorter_one() -> None:
    shorter = play("shop", days=DAYS / 3)[0]
    assert digest(play("shop", held=shorter)[0]) == digest(whole("shop"))


def test_a_complete_run_started_again_sends_nothing() -> None:
    again, run = play("shop", held=list(whole("shop")))
    assert run.simulation.progress.total_events == 0
    assert digest(again) == digest(whole("shop"))


@settings(
    max_examples=8, deadline=None, derandomize=True, phases=NO_SHRINKING, suppress_health_check=list(HealthCheck)
)  # fmt: skip
@given(cuts=CUTS, again=st.floats(0, 1), batch=st.sampled_from([60, 10**5]), plan=st.sampled_from([None, OFTEN, RARER]))
def test_resumed_after_a_crash_at_any_point(
    cuts: list[float], again: float, batch: int, plan: CheckpointPlan | None
) -> None:
    """Each partition of each topic loses another part of its end; and then the resumed run crashes as well."""
    topics = sorted({record.topic for record in whole("shop")} - {*KEPT})

    def kept(topic: str, partition: int, count: int) -> int:
        return round(cuts[topics.index(topic) * 4 + partition] * count)

    left = crashed(list(whole("shop")), kept)
    resumed = play("shop", held=left, batch=batch, days=DAYS * again, checkpoints=plan)[0]
    same = digest(play("shop", held=resumed, checkpoints=plan)[0]) == digest(whole("shop"))
    assert same


@settings(
    max_examples=3, deadline=None, derandomize=True, phases=NO_SHRINKING, suppress_health_check=list(HealthCheck)
)  # fmt: skip
@given(cut=st.floats(0, 1))
def test_steering_is_replayed_after_a_crash(cut: float) -> None:
    day = DAY_MS
    changes = [(5 * day, 8.0, 1.0), (round(5.4 * day), 8.0, 3.0), (round(5.8 * day), 1.0, 0.5)]
    steered, run = play("shop", batch=60, pilot=Pilot(changes))
    assert len(run.changes) == 4 and digest(steered) != digest(whole("shop"))
    stopped, _ = play("shop", batch=60, pilot=Pilot(changes, stop_at=round(6.2 * day)))
    left = crashed(stopped, lambda topic, partition, count: round(count * cut))
    resumed, second = play("shop", held=left, batch=60)
    assert second.changes == run.changes
    assert digest(resumed) == digest(steered)
