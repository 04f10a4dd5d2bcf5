"""The whole program as its users start it: processes, what they leave on topics and in databases, what they should.

`tests.nursery` starts programs and ends whatever is left. `expected` plays the same run in this process, onto
a list: the rows that everything else must arrive at.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest

from personas.topics import RUNS, data_topics, events_topic

ROOT = Path(__file__).parent.parent.parent
PACK = "shop"
TABLES = ("events", "sessions", "users", "labels")
EVENTS = events_topic(PACK)
#: By table, by id: the values that must be the same wherever the row is looked at.
Rows = dict[str, dict[str, tuple[Any, ...]]]


class Child(Protocol):
    """A process that was started: what is used of a Popen."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float = ...) -> int: ...
    def kill(self) -> None: ...


@dataclass
class Program:
    """One running `dayone`, in a session of its own as in a terminal of its own."""

    process: Child
    folder: Path
    number: int

    @property
    def out(self) -> str:
        """What it has written to standard output so far."""
        return (self.folder / f"{self.number}.out").read_text("utf-8")

    @property
    def err(self) -> str:
        """What it has written to standard error so far."""
        return (self.folder / f"{self.number}.err").read_text("utf-8")

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def wait(self, timeout: float = 90.0) -> int:
        """Its exit code. A test fails here when it does not end."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"did not end within {timeout:g} s:\n{self.out}\n{self.err}")

    def signal(self, number: int) -> None:
        """To its whole process group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def family(self) -> list[psutil.Process]:
        """The processes that it has started, and those that they have."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []


#: The default ports belong to the tests of the README, which may run at the same time.
ANY_PORT = {"DAYONE_SIMULATOR_METRICS_PORT": "0", "DAYONE_SINK_METRICS_PORT": "0"}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], *programs: Program, timeout: float = 90.0) -> Any:
    """What `condition` gives as soon as that is true. Fails after `timeout` seconds, or when a program has ended."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        ended = [program for program in programs if not program.running]
        if ended or time.monotonic() > deadline:
            told = "\n".join(program.err[-2000:] for program in programs)
            pytest.fail(f"{'a program ended' if ended else 'timed out'} before the condition held:\n{told}")
        time.sleep(0.02)


def metrics(port: int) -> dict[str, float]:
    """The metrics served on a port, by name (labels summed up) and by name with labels; nothing while nobody serves."""
    found: dict[str, float] = {}
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except (OSError, urllib.error.URLError, http.client.HTTPException):  # killed while it answered, perhaps
        return found
    for name, labels, value in re.findall(r"^(\w+)(\{[^}]*\})? (\S+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0.0) + float(value)
        if labels:
            found[name + labels] = float(value)
    return found


def sent(port: int) -> float:
    """Events that a simulator has sent."""
    return metrics(port).get("dayone_simulator_events_total", 0.0)


def of_messages(values: Iterable[bytes]) -> Rows:
    """The rows that these messages mean. A message of an id that was there before must say the same."""
    rows: Rows = {table: {} for table in TABLES}
    for value in values:
        one = json.loads(value)
        kind, data = one["type"], one["data"]
        if kind == "dayone.session":
            table, row = "sessions", tuple(data[name] for name in ("number", "events", "items", "converted", "value"))
        elif kind == "dayone.user":
            table, row = "users", (milliseconds(data["signed_up"]), data["device"])
        elif kind.startswith("dayone.label"):
            table, row = "labels", (one["subject"], data["persona"], data.get("satisfaction"), data.get("weight"))
        elif kind.startswith("dayone."):
            continue
        else:
            text = value[value.index(b'"data":') + 7 : -1].decode()
            table, row = "events", (one["subject"], one["sessionid"], milliseconds(one["time"]), kind, text)
        assert rows[table].setdefault(one["id"], row) == row
    return rows


def milliseconds(time: str) -> int:
    """An RFC 3339 time as Unix time."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


QUERIES = {
    "events": "SELECT event_id, user_id, session_id, epoch_ms(time), type, properties::VARCHAR FROM events",
    "sessions": "SELECT session_id, number, events, items, converted, value FROM sessions",
    "users": "SELECT user_id, epoch_ms(signed_up), device FROM users",
    "labels": "SELECT label_id, user_id, persona, satisfaction, weight FROM labels",
}


def ask(store: Path, query: str) -> list[tuple[Any, ...]]:
    """The answer of a database that nobody has open."""
    import duckdb

    with duckdb.connect(str(store), read_only=True) as connection:
        return connection.execute(query).fetchall()


def of_store(store: Path) -> Rows:
    """The rows of a database. No id may be there twice."""
    rows: Rows = {}
    for table, query in QUERIES.items():
        answer = ask(store, query)
        rows[table] = {row[0]: row[1:] for row in answer}
        assert len(rows[table]) == len(answer), f"{table}: {len(answer) - len(rows[table])} ids are there twice"
    return rows


def of_topics(servers: str) -> list[bytes]:
    """The values of all messages on the data topics, as they are there."""
    return _read(servers, {topic: 1 if topic == RUNS else 4 for topic in data_topics(PACK)})


def read_topic(servers: str, topic: str, partitions: int = 1) -> list[bytes]:
    """The values of all messages on one topic."""
    return _read(servers, {topic: partitions})


def _read(servers: str, topics: dict[str, int]) -> list[bytes]:
    """Every partition up to where the broker says that it ends now."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    options = {"group.id": "test", "enable.partition.eof": True, "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": servers, "fetch.wait.max.ms": 20, **options})
    values: list[bytes] = []
    unread = {(topic, number) for topic, partitions in topics.items() for number in range(partitions)}
    try:
        consumer.assign([TopicPartition(topic, number, 0) for topic, number in unread])
        while unread:
            for message in consumer.consume(10_000, 0.05):
                error = message.error()
                if error is None:
                    values.append(message.value() or b"")
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard((message.topic() or "", message.partition() or 0))
                else:
                    pytest.fail(str(error))
    finally:
        consumer.close()
    return values


@cache
def expected(users: int, days: float, seed: int = 1) -> Rows:
    """What an undisturbed run gives, played in this process without Kafka."""
    from personas.pack import load_pack
    from personas.provenance import RunIdentity
    from simulator.clock import WallClock
    from simulator.partitioner import Shard
    from simulator.producer import MemoryProducer
    from simulator.run import Plan, Run
    from simulator.simulation import Simulation
    from simulator.steering import Steering

    pack, producer = load_pack(PACK), MemoryProducer()
    identity = RunIdentity(
        product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint, seed=seed,
        users=users, start=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    simulation = Simulation(pack, identity, Shard(0, 1, 4), producer)
    steering = Steering(identity.run_id)
    Run(simulation, producer, Plan(days), clock=WallClock(), steering=steering, stop=threading.Event()).play()
    rows = of_messages(record.value for record in producer.records)
    assert all(rows[table] for table in TABLES)
    return rows


def assert_same(found: Rows, wanted: Rows) -> None:
    """Equal, told in a few words where it is not: whole tables are no reading."""
    for table in TABLES:
        here, there = found[table], wanted[table]
        missing, extra = there.keys() - here.keys(), here.keys() - there.keys()
        assert not missing and not extra, f"{table}: {len(missing)} missing, {len(extra)} too many of {len(there)}"
        different = [name for name in there if here[name] != there[name]]
        assert not different, f"{table}: {different[0]} is {here[different[0]]}, expected {there[different[0]]}"


STOPS = [pytest.param(signal.SIGINT, id="SIGINT"), pytest.param(signal.SIGTERM, id="SIGTERM")]
