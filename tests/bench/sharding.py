"""Past one process: the same run on a topic of twelve partitions by one, two and four simulators, on Apache Kafka.

Each number of shards plays the run anew, with topics of its own, once without a day: what it takes to start, which is
taken off, since a long run does not notice it. Events per second of the wall clock say what this
machine gives, where broker and simulators share its processors; events per second of processor time say what one
simulator gives with a processor of its own. From that, and from the processor time that the broker takes per event,
follows by arithmetic what a cluster gives that has a processor for each of twelve shards: an estimate, and marked so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.apache_kafka import ApacheKafka
from tests.bench.figures import Figure
from tests.bench.processes import ROOT, BenchError, end, environment
from tests.bench.simulating import PACK
from tests.kafka_jars import JarsError, class_path

SHARDS = (1, 2, 4)
PARTITIONS = 12


def measure(users: int, days: float, say: Callable[[str], None]) -> list[Figure]:
    """The figures, and the arithmetic. BenchError where Apache Kafka cannot be had, or a simulator fails."""
    try:
        class_path()
    except JarsError as error:
        raise BenchError(f"shards need Apache Kafka: {error}") from None
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, ApacheKafka(Path(folder) / "kafka") as kafka:
        broker = psutil.Process(kafka.nodes[1].process.pid)  # type: ignore[union-attr]
        for shards in SHARDS:
            kafka.delete_topics()
            _, start, start_busy = _play(kafka, users, 0.0, shards)
            before = _processor_seconds(broker)
            events, seconds, busy = _play(kafka, users, days, shards)
            of_broker = _processor_seconds(broker) - before
            seconds, working = seconds - start, sum(busy) - sum(start_busy)
            if min(seconds, working) <= 0:
                raise BenchError("shards: playing took no longer than starting; give more --users or a quieter machine")
            say(f"shards: {shards} simulators, {events:,} events in {seconds:.1f} s")
            alone = found[0].value if found else 0.0
            share = (working + of_broker) / seconds / (os.cpu_count() or 1)
            note = f"processors {share:.0%} busy, {of_broker / seconds:.2f} of them with the broker"
            best = alone * min(shards, os.cpu_count() or 1) or None
            raw_name = "one simulator x processors" if best else ""
            found.append(
                Figure("shards", f"{shards} simulators", events / seconds, "events/s", best, raw_name, note=note)
            )
            name, note = f"{shards} simulators, per processor", "over the processor time of the simulators alone"
            found.append(Figure("shards", name, events / working, "events/s", note=note))
            if shards == 1:
                per_broker = events / of_broker
    apart = found[1].value
    note = f"arithmetic, not measured: {PARTITIONS} shards with a processor each; brokers then need "
    note += f"{apart * PARTITIONS / per_broker:.1f} processors for it at what they took here"
    found.append(Figure("shards", f"{PARTITIONS} simulators (estimate)", apart * PARTITIONS, "events/s", note=note))
    return found


def _play(kafka: ApacheKafka, users: int, days: float, shards: int) -> tuple[int, float, list[float]]:
    """Events sent by all shards together, seconds from the first start to the last end, and processor seconds each."""
    words = ["simulate", PACK, "--users", str(users), "--days", str(days), "--bootstrap-servers",
             kafka.bootstrap_servers, "--partitions", str(PARTITIONS), "--metrics-port", "0", "--json"]  # fmt: skip
    begun = time.monotonic()
    busy = [0.0] * shards
    with ExitStack() as stack:
        started = []
        for shard in range(shards):
            process = subprocess.Popen(
                [sys.executable, "-m", "dayone", *words, "--shard", f"{shard}/{shards}"], cwd=ROOT, env=environment(),
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            stack.callback(end, process)
            started.append(process)
        while any(process.poll() is None for process in started):
            for number, process in enumerate(started):
                if process.poll() is None:
                    busy[number] = _processor_seconds(psutil.Process(process.pid)) or busy[number]
            time.sleep(0.05)
        seconds = time.monotonic() - begun
        answers = [process.communicate()[0] for process in started]
        failed = [process.returncode for process in started if process.returncode]
        if failed:
            raise BenchError(f"dayone simulate ended with exit code {failed[0]}")
    return sum(int(json.loads(answer)["events"]) for answer in answers), seconds, busy


def _processor_seconds(process: psutil.Process) -> float:
    """User and system time of a process so far; 0 where it has just ended."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
