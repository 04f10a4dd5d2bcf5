"""Where a run stands, read from its last messages; what is not its own, or broken, is never taken for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import pytest

from personas.connection import KafkaConnection
from personas.provenance import RunManifest, SteeringChange
from personas.topics import events_topic
from simulator.daemon import steering_after
from simulator.partitioner import Shard
from simulator.producer import MemoryProducer
from simulator.resume import UserNumbers, held_positions, position_of
from simulator.steering import ARRIVAL_RATE, PROBLEM_RATE
from tests.runs import simulation_of

DAY = 86_400_000


def tails(last: bytes, good: bytes) -> Callable[..., dict[int, bytes | None]]:
    """Partition 0 of every topic ends with `good` and then `last`."""

    def read(
        connection: KafkaConnection, topic: str, partitions: Iterable[int], accept: Callable[[bytes], bool]
    ) -> dict[int, bytes | None]:
        return {0: next((value for value in (last, good) if accept(value)), None)}

    return read


@pytest.mark.parametrize("spoil", [
    lambda value: value[:-20], lambda value: value.replace(b'"subject":"u', b'"subject":"stranger'),
    lambda value: value.replace(b'"time":"', b'"time":"never '), lambda value: b"[" + value + b"]",
])  # fmt: skip
def test_a_broken_copy_at_the_end_is_stepped_over(spoil: Callable[[bytes], bytes]) -> None:
    producer = MemoryProducer()
    simulation = simulation_of("shop", users=60, shard="0/1", producer=producer)
    simulation.advance(5 * DAY)
    topic = events_topic("shop")
    good = producer.values(topic)[-1]
    numbers = UserNumbers(simulation.population)
    wanted = position_of(json.loads(good), simulation.identity.start, numbers)
    shard = Shard(0, 1, 4)
    held = held_positions(
        KafkaConnection(), simulation.identity, simulation.population, shard, tails(spoil(good), good)
    )
    assert held[topic] == {0: wanted}


def test_the_number_of_a_user_by_his_id() -> None:
    population = simulation_of("shop", users=60, shard="1/2", producer=MemoryProducer()).population
    numbers = UserNumbers(population)
    for row, name in enumerate(population.ids.tolist()):
        assert numbers[name.decode()] == population.number[row]
    for stranger in ("", "u", "zzz", "\N{SNOWMAN}"):
        with pytest.raises(KeyError):
            numbers[stranger]


def test_a_run_goes_on_with_the_rates_that_it_was_steered_to() -> None:
    simulation = simulation_of("shop", users=5, shard="0/1", producer=MemoryProducer())
    start = simulation.identity.start
    changes = [(PROBLEM_RATE, 10.0), (ARRIVAL_RATE, 3.0), (PROBLEM_RATE, 0.0)]
    manifest = RunManifest(
        run_id=simulation.identity.run_id, identity=simulation.identity, state="stopped", days=1, dayone_version="0",
        updated=start, virtual_time=start,
        steering=tuple(SteeringChange(at=start, command=command, value=value) for command, value in changes),
    )  # fmt: skip
    steering = steering_after(simulation.identity.run_id, manifest)
    assert (steering.problem_rate, steering.arrival_rate) == (0.0, 3.0)
    fresh = steering_after(simulation.identity.run_id, None)
    assert (fresh.problem_rate, fresh.arrival_rate) == (1.0, 1.0)
