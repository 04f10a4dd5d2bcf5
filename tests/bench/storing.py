"""Sink alone: `dayone sink` as a process, from topics that are full already into a fresh database.

The raw limits are what the sink is made of, each by itself, in one process: reading every message in batches with the
same client settings and doing nothing with them; decoding what was read, with nothing read ahead in the background;
and inserting the decoded Arrow tables into a fresh database, a transaction per batch. Fetches and batches are as large
as the sink's own. Beside the rate stands what it costs: processor time of all threads of the process, which is what
counts where simulator, broker and sink share the cores.
"""

from __future__ import annotations

import gc
import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure
from tests.bench.processes import BenchError, call, run
from tests.bench.simulating import PACK, PARTITIONS, Filled

LAST_LINE = re.compile(r"([\d,]+) events in ([\d.]+) s \(([\d,]+)/s\), ([\d,]+) dead letters")


def measure(filled: Filled) -> list[Figure]:
    """Run the sink on a full broker, then its parts."""
    produced = filled.answer["events"]
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "bench.duckdb"
        before = processor_seconds()
        sink = run(
            "-m", "dayone", "sink", PACK, "--until-completed", "--store", str(store), "--metrics-port", "0",
            "--bootstrap-servers", filled.broker.bootstrap_servers,
        )  # fmt: skip
        spent = processor_seconds() - before
        events, seconds, rate = last_line(sink.stderr)
        check_stored(store, produced)
        size = store.stat().st_size
    raw = call(__name__, servers=filled.broker.bootstrap_servers)
    if raw["events"] != produced:
        raise BenchError(f"the raw loop read {raw['events']} events of {produced}")
    parts = {"batch consume": "consume_seconds", "decode": "decode_seconds", "Arrow insert": "insert_seconds"}
    limits = {name: raw["events"] / raw[key] for name, key in parts.items()}
    found = [
        Figure("sink", "into a fresh database", rate, "events/s", limits[name], f"{name} alone", 100_000)
        for name in limits
    ]
    messages, rate_limit = raw["messages"], raw["messages"] / raw["consume_seconds"]
    return [
        *found,
        Figure("sink", "messages", messages * rate / events, "messages/s", rate_limit, "batch consume alone",
               note=f"{messages:,} messages"),
        Figure("sink", "per second of processor time", events / spent, "events/cpu s",
               events / raw["processor_seconds"], "its parts together",
               note=f"{spent / events * 1e6:.1f} us per event, start and end included"),
        Figure("sink", "process, start to exit", sink.seconds, "s", smaller=True, note=f"reading: {seconds:g} s"),
        Figure("sink", "peak memory", sink.peaks["process"] / 1e6, "MB", smaller=True),
        Figure("sink", "database", size / produced, "bytes/event", smaller=True),
    ]  # fmt: skip


def processor_seconds() -> float:
    """User and system time of all processes that this one has started and seen the end of."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def last_line(stderr: str) -> tuple[int, float, float]:
    """Events, seconds from the first message to the last commit, and events per second, as the sink says at its end."""
    match = LAST_LINE.search(stderr)
    if match is None:
        raise BenchError(f"the sink did not say how it went:\n{stderr[-2000:]}")
    events, seconds, rate, dead = (float(text.replace(",", "")) for text in match.groups())
    if dead:
        raise BenchError(f"{dead:.0f} messages became dead letters")
    return int(events), seconds, rate


def check_stored(store: Path, produced: int) -> None:
    """BenchError unless the database holds exactly as many events as were produced."""
    import duckdb

    with duckdb.connect(str(store), read_only=True) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT event_id) FROM events").fetchone()
    if found != (produced, produced):
        raise BenchError(f"{produced} events were produced, the database holds {found}")


@contextmanager
def reader(servers: str, **options: Any) -> Iterator[Iterator[list[Any]]]:
    """Every message of the topics that a sink reads, in fetches as large as a sink's."""
    from confluent_kafka import Consumer, TopicPartition

    from personas.connection import KafkaConnection
    from personas.topics import RUNS, data_topics
    from simulator.tail import end_offsets
    from sinks.gather import Bounds
    from sinks.settings import load_settings
    from sinks.subscriber import CONSUMER

    prefetch = load_settings().sink_prefetch_mib * 1024
    connection = KafkaConnection(bootstrap_servers=servers)
    counts = {topic: 1 if topic == RUNS else PARTITIONS for topic in data_topics(PACK)}
    ends = [end_offsets(connection, topic, range(count)) for topic, count in counts.items()]
    total = sum(sum(end.values()) for end in ends)
    consumer = Consumer(
        {
            **connection.client_options(), **CONSUMER, "queued.max.messages.kbytes": prefetch, "group.id": "bench",
            "enable.auto.commit": False, "auto.offset.reset": "earliest", **options,
        }
    )  # fmt: skip

    def batches() -> Iterator[list[Any]]:
        left = total
        while left:
            batch = consumer.consume(min(Bounds.fetch, left), 1.0)
            faults = [message.error() for message in batch if message.error() is not None]
            if faults or not batch:
                raise SystemExit(f"the raw loop stopped with {left} messages left: {faults or 'nothing came'}")
            left -= len(batch)
            yield batch

    try:
        consumer.assign([TopicPartition(topic, part, 0) for topic, count in counts.items() for part in range(count)])
        yield batches()
    finally:
        consumer.close()


def consume_only(servers: str) -> tuple[int, float, float]:
    """Messages, the seconds that it takes to be given them all, and the processor time of that."""
    begun, process = time.monotonic(), time.process_time()
    with reader(servers) as batches:
        messages = sum(map(len, batches))
        return messages, time.monotonic() - begun, time.process_time() - process


def decode_and_insert(servers: str, store: Path) -> tuple[int, float, float, float]:
    """Events, seconds of decoding, seconds of inserting, processor time of both. Each has the machine to itself."""
    import duckdb

    from personas.pack import load_pack
    from sinks.batch import Batch
    from sinks.gather import Gatherer
    from sinks.ingest import Decoder
    from sinks.settings import load_settings
    from sinks.store import Store
    from sinks.subscriber import columns_of
    from sinks.vocabulary import vocabulary_of

    gatherer, read = Gatherer(Decoder(vocabulary_of(load_pack(PACK)))), dict[tuple[str, int], int]()
    Store.open(store).close()
    events, decoding, inserting, processor = 0, 0.0, 0.0, 0.0
    gc.set_threshold(200_000, 50, 100)  # as the sink does
    # read ahead one message at least: while decoding is timed, no thread of the client does anything
    idle = {"queued.min.messages": 1, "queued.max.messages.kbytes": 1024}
    with duckdb.connect(str(store)) as connection, reader(servers, **idle) as fetches:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.execute(f"SET memory_limit = '{load_settings().store_memory_limit}'")

        def insert(batches: list[Batch]) -> None:
            nonlocal events, inserting
            begun = time.monotonic()
            for batch in batches:
                connection.execute("BEGIN TRANSACTION")
                for name, rows in batch.tables.items():
                    if name != "runs":
                        connection.register("incoming", rows)
                        connection.execute(f"INSERT INTO {name} BY NAME FROM incoming")
                        connection.unregister("incoming")
                connection.execute("COMMIT")
                events += batch.tables["events"].num_rows if "events" in batch.tables else 0
            inserting += time.monotonic() - begun

        for messages in fetches:
            begun, process = time.monotonic(), time.process_time()
            batches = list(gatherer.add(columns_of(messages), read))
            decoding += time.monotonic() - begun
            insert(batches)
            processor += time.process_time() - process
        process = time.process_time()
        insert(list(gatherer.take()))
        processor += time.process_time() - process
    return events, decoding, inserting, processor


def main(order: dict[str, Any]) -> None:
    """The measured process: each raw limit in turn."""
    messages, consuming, reading = consume_only(order["servers"])
    with tempfile.TemporaryDirectory() as folder:
        events, decoding, inserting, writing = decode_and_insert(order["servers"], Path(folder) / "raw.duckdb")
    answer = {
        "messages": messages, "events": events, "consume_seconds": consuming, "decode_seconds": decoding,
        "insert_seconds": inserting, "processor_seconds": reading + writing,
    }  # fmt: skip
    print(json.dumps(answer))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
