"""Several `dayone sink` processes on one lake and one Kafka: killed, stopped and woken, while events flow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from personas.topics import RUNS, product_topics
from simulator.broker import EmbeddedBroker
from simulator.topic_admin import provision
from sinks.place import Place, place_of
from sinks.store import Store
from tests.apache_kafka import ApacheKafka
from tests.contracts.sink_on_kafka import PROGRAM, ROOT, produce
from tests.postgres import Server
from tests.sinks.making import EVENTS, PRODUCT, events, manifest

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]
PARTITIONS = 6


class Sinks:
    """Processes that write one lake; what each says is in a file of `folder`."""

    def __init__(self, servers: str, place: Place, folder: Path) -> None:
        self.servers, self.place, self.folder = servers, place, folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> int:
        environment = os.environ | {
            "DAYONE_SINK_BATCH_SECONDS": "0.2", "DAYONE_SINK_METRICS_PORT": "0", "DAYONE_SINK_BATCH_ROWS": "500",
            "DAYONE_STORE_DATA_PATH": self.place.data_path,
        }  # fmt: skip
        number = len(self.processes)
        with (self.folder / f"{number}.err").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "sink", PRODUCT, "--store", self.place.name, "--bootstrap-servers",
                 self.servers, *options], cwd=ROOT, env=environment, stderr=errors,
            )  # fmt: skip
        self.processes.append(process)
        return number

    def said(self, number: int) -> str:
        return (self.folder / f"{number}.err").read_text()

    def has_said(self, number: int, text: str) -> Callable[[], bool]:
        return lambda: text in self.said(number)

    def all_said(self) -> str:
        return "".join(f"--- {number}\n{self.said(number)}" for number in range(len(self.processes)))

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        provision(running.connection, product_topics(PRODUCT, PARTITIONS))
        yield running


class Lake:
    """The lake from outside, opened once: looking must not cost the sinks their processor."""

    def __init__(self, place: Place) -> None:
        self._store = Store.open(place)

    def holds(self, count: int) -> bool:
        return self._store.database.count("SELECT count(*) FROM events") >= count

    def close(self) -> None:
        self._store.close()


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.2)


def check(place: Place, count: int) -> None:
    with Store.open(place, read_only=True) as store:
        found = store.query("SELECT event_id FROM events ORDER BY ALL").column(0).to_pylist()
    expected = sorted(f"u{n // 4:07d}-0.{n % 4}" for n in range(count))
    assert found == expected, f"{len(found)} stored, {len(set(found))} different, {count} expected"


def play_faults(broker: EmbeddedBroker | ApacheKafka, place: Place, folder: Path) -> None:
    """1 → 3 sinks → one killed in its work → one stopped until the others have its partitions, then woken → all end."""
    records, sent = events(24_000), 0
    lake = Lake(place)
    sinks = Sinks(broker.bootstrap_servers, place, folder)

    def more(count: int) -> None:
        nonlocal sent
        produce(broker, EVENTS, records[sent : sent + count])
        sent += count

    try:
        more(4000)
        first = sinks.start("--until-completed")
        until(sinks.has_said(first, "reading"))
        second, third = sinks.start("--until-completed"), sinks.start("--until-completed")
        more(4000)
        for number in (second, third):
            until(sinks.has_said(number, "reading"))
        more(4000)
        until(lambda: lake.holds(8001))
        sinks.processes[second].kill()
        more(4000)
        until(lambda: lake.holds(sent))  # the others have taken over
        before = sinks.said(first).count("reading")
        sinks.processes[third].send_signal(signal.SIGSTOP)
        more(4000)
        until(lambda: sinks.said(first).count("reading") > before)
        until(lambda: lake.holds(sent))
        sinks.processes[third].send_signal(signal.SIGCONT)
        more(len(records) - sent)
        produce(broker, RUNS, [manifest()])
        codes = [sinks.processes[number].wait(120) for number in (first, third)]
        assert codes == [0, 0], sinks.all_said()
        assert "gone on without this sink" in sinks.said(third) or "taken over" in sinks.said(third)
    except BaseException:
        print(sinks.all_said())
        raise
    finally:
        sinks.close()
        lake.close()


def test_three_on_sqlite_one_killed_one_stopped_and_woken(broker: EmbeddedBroker, tmp_path: Path) -> None:
    place = place_of(f"ducklake:sqlite:{tmp_path / 'lake.sqlite'}")
    play_faults(broker, place, tmp_path)
    check(place, 24_000)


@pytest.mark.timeout(500)
def test_twelve_partitions_of_apache_kafka(apache_kafka: ApacheKafka, tmp_path: Path) -> None:
    apache_kafka.delete_topics()
    provision(apache_kafka.connection, product_topics(PRODUCT, 12))
    place = place_of(f"ducklake:sqlite:{tmp_path / 'lake.sqlite'}")
    play_faults(apache_kafka, place, tmp_path)
    check(place, 24_000)


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
def test_three_on_postgres_one_killed_one_stopped_and_woken(
    broker: EmbeddedBroker, postgres: Server, tmp_path: Path
) -> None:
    place = place_of(f"ducklake:postgres:{postgres.make_database()}", str(tmp_path / "files"))
    play_faults(broker, place, tmp_path)
    check(place, 24_000)
