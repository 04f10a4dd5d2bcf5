"""Simulator → broker alone: a run played in a process pinned to one core, the broker on another.

The run goes through the very classes that `dayone simulate` uses; only the command line around it is missing. The raw
limit is the same producer fed with ready-made columns: a tenth of the run's own messages, repeated in the run's own
order of topics and chunk sizes, in the same process on the same core, on a fresh broker. So it tells what sending
alone costs: framing, compression, the wire.

Seconds of a stage are processor time of the thread that plays; what the client library does in a thread of its own
(sending, acknowledgements) is told apart.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from personas.arrow import keep_memory, leave_pandas_out
from simulator.broker import EmbeddedBroker
from tests.bench.figures import Figure
from tests.bench.processes import call, cores, pin, pinned

PACK = "shop"
PARTITIONS = 4
KEEP_EVERY = 10
STAGES = ("play", "encode", "order", "send")


@dataclass(frozen=True)
class Filled:
    """A broker with a finished run on it, and what the simulator's process said."""

    broker: EmbeddedBroker
    answer: dict[str, Any]


@contextlib.contextmanager
def filled_broker(users: int, days: float) -> Iterator[Filled]:
    """Play the run onto an embedded broker, measuring; the broker stays while the block runs."""
    broker_core, simulator_core = cores()
    broker, fresh = EmbeddedBroker(), EmbeddedBroker()
    try:
        with pinned(broker_core):
            broker.start()
            fresh.start()
        answer = call(
            "tests.bench.simulating", servers=broker.bootstrap_servers, raw_servers=fresh.bootstrap_servers,
            users=users, days=days, core=simulator_core,
        )  # fmt: skip
        fresh.stop()
        yield Filled(broker, answer)
    finally:
        fresh.stop()
        broker.stop()


def figures_of(answer: dict[str, Any]) -> list[Figure]:
    """What to report of a simulator's run."""
    events, seconds = answer["events"], answer["seconds"]
    where = "one core" if answer["pinned"] else "not pinned"
    sizes = f"{answer['messages']:,} messages, {answer['bytes'] / answer['messages']:.0f} bytes each"
    found = [
        Figure(
            "simulator", "to the broker", events / seconds, "events/s", events / answer["raw_seconds"],
            "same producer, ready-made columns", 200_000, note=f"{events:,} events, {where}; {sizes}",
        ),
        Figure(
            "simulator", "per second of processor time", events / (answer["main_seconds"] + answer["client_seconds"]),
            "events/cpu s", events / answer["raw_processor_seconds"], "same producer, ready-made columns",
            note="all threads; what one core would give on a quiet machine",
        ),
        Figure("simulator", "set-up before the first event", answer["setup_seconds"], "s", smaller=True),
    ]  # fmt: skip
    named = {**answer["stages"], "client threads": answer["client_seconds"]}
    named["rest"] = max(0.0, answer["main_seconds"] - sum(answer["stages"].values()))
    found += [Figure("simulator", f"stage {name}", spent / events * 1e6, "µs/event") for name, spent in named.items()]
    return found


class Stopwatch:
    """Processor seconds of the calling thread, by stage, spent in the methods that it is put around."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    def around(self, stage: str, owner: object, *methods: str) -> None:
        """From now on, calls of these methods of this object count for `stage`."""
        for name in methods:
            setattr(owner, name, self._timed(stage, getattr(owner, name)))

    def _timed(self, stage: str, method: Any) -> Any:
        @functools.wraps(method)
        def timed(*arguments: Any, **options: Any) -> Any:
            begun = time.thread_time()
            try:
                return method(*arguments, **options)
            finally:
                self.seconds[stage] += time.thread_time() - begun

        return timed


class Recorder:
    """Remembers every call of `send`, and the messages of one in ten."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.kept: dict[str, list[tuple[Any, Any, Any]]] = {}
        self._seen: dict[str, int] = {}

    def watch(self, producer: Any) -> None:
        """Listen in on a producer."""
        send = producer.send

        def recorded(topic: str, values: Any, keys: Any, partitions: Any) -> None:
            number = self._seen[topic] = self._seen.get(topic, -1) + 1
            self.calls.append((topic, len(values)))
            if number % KEEP_EVERY == 0 or topic not in self.kept:
                self.kept.setdefault(topic, []).append((values, keys, partitions))
            send(topic, values, keys, partitions)

        producer.send = recorded


def play(servers: str, users: int, days: float) -> tuple[dict[str, Any], Recorder]:
    """Play a run onto the broker at `servers`, in this process."""
    from personas.connection import KafkaConnection
    from personas.pack import load_pack
    from personas.provenance import RunIdentity
    from personas.topics import product_topics
    from simulator.clock import WallClock
    from simulator.partitioner import Shard
    from simulator.producer import EventProducer
    from simulator.run import Plan, Run
    from simulator.simulation import Simulation
    from simulator.steering import Steering
    from simulator.topic_admin import provision

    connection = KafkaConnection(bootstrap_servers=servers)
    provision(connection, product_topics(PACK, PARTITIONS))
    watch, recorder = Stopwatch(), Recorder()
    begun = time.monotonic()
    pack = load_pack(PACK)
    identity = RunIdentity(
        product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint, seed=1,
        users=users, start=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    producer = EventProducer(connection)
    recorder.watch(producer)
    simulation = Simulation(pack, identity, Shard(0, 1, PARTITIONS), producer)
    watch.around("play", simulation.engine, "play")
    watch.around("encode", simulation.encoder, "events", "sessions", "session_labels", "users", "user_labels")
    for sequence in (simulation.events, simulation.sessions, simulation.users, simulation.labels):
        watch.around("order", sequence, "add", "due", "partitions")
    watch.around("send", producer, "send", "flush")
    run = Run(
        simulation, producer, Plan(days), clock=WallClock(), steering=Steering(identity.run_id),
        stop=threading.Event(),
    )  # fmt: skip
    ready, main, process = time.monotonic(), time.thread_time(), time.process_time()
    run.play()
    seconds, main, process = time.monotonic() - ready, time.thread_time() - main, time.process_time() - process
    counts = producer.counts()
    producer.close()
    answer = {
        "events": simulation.progress.total_events, "messages": counts.produced, "bytes": counts.bytes,
        "setup_seconds": ready - begun, "seconds": seconds, "stages": watch.seconds, "main_seconds": main,
        "client_seconds": process - main, "by_topic": simulation.progress.messages, "run_id": identity.run_id,
    }  # fmt: skip
    return answer, recorder


def replay(servers: str, recorder: Recorder) -> dict[str, float]:
    """Seconds, by the wall and of the processor, that the same calls take with ready-made columns: the raw limit."""
    from personas.connection import KafkaConnection
    from personas.topics import product_topics
    from simulator.producer import EventProducer
    from simulator.topic_admin import provision

    connection = KafkaConnection(bootstrap_servers=servers)
    provision(connection, product_topics(PACK, PARTITIONS))
    ready = {topic: itertools.cycle(chunks) for topic, chunks in recorder.kept.items()}
    with EventProducer(connection) as producer:
        begun, process = time.monotonic(), time.process_time()
        for topic, count in recorder.calls:
            left = count
            while left > 0:  # a chunk that is kept may be shorter than the one it stands for
                chunk = [column[:left] for column in next(ready[topic])]
                producer.send(topic, *chunk)
                left -= len(chunk[0])
        producer.flush()
        seconds, process = time.monotonic() - begun, time.process_time() - process
    return {"raw_seconds": seconds, "raw_processor_seconds": process}


def main(order: dict[str, Any]) -> None:
    """The measured process: play, then replay, on one core."""
    leave_pandas_out()  # as the simulator's process does
    keep_memory()
    held = order["core"] is not None and pin(order["core"])
    answer, recorder = play(order["servers"], order["users"], order["days"])
    answer |= {"pinned": held, **replay(order["raw_servers"], recorder)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
