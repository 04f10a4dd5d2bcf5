"""Several `dayone sink` processes on one lake and one Kafka: killed, stopped and woken, while events flow."""

from __future__ import annotations

import signal
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
from tests.contracts.sink_on_kafka import TINY, produce
from tests.integration.program import Program
from tests.nursery import Starter
from tests.postgres import Server
from tests.sinks.making import EVENTS, PRODUCT, events, manifest

pytestmark = [pytest.mark.kafka, pytest.mark.thorough, pytest.mark.timeout(300)]
PARTITIONS = 6


class Sinks:
    """Processes that write one lake."""

    def __init__(self, forked: Starter, servers: str, place: Place) -> None:
        self.forked, self.place = forked, place
        self.words = ("sink", PRODUCT, "--store", place.name, "--bootstrap-servers", servers, "--until-completed")

    def start(self) -> Program:
        environment = {
            "DAYONE_SINK_BATCH_SECONDS": "0.2", "DAYONE_SINK_BATCH_ROWS": "500",
            "DAYONE_STORE_DATA_PATH": self.place.data_path,
        }  # fmt: skip
        return self.forked(*self.words, module=TINY, env=environment)

    def all_said(self) -> str:
        return "".join(f"--- {number}\n{sink.err}" for number, sink in enumerate(self.forked.started))


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


def play_faults(forked: Starter, broker: EmbeddedBroker | ApacheKafka, place: Place) -> None:
    """1 → 3 sinks → one killed in its work → one stopped until the others have its partitions, then woken → all end."""
    records, sent = events(24_000), 0
    lake = Lake(place)
    sinks = Sinks(forked, broker.bootstrap_servers, place)

    def more(count: int) -> None:
        nonlocal sent
        produce(broker, EVENTS, records[sent : sent + count])
        sent += count

    try:
        more(4000)
        first = sinks.start()
        until(lambda: "reading" in first.err)
        second, third = sinks.start(), sinks.start()
        more(4000)
        until(lambda: "reading" in second.err and "reading" in third.err)
        more(4000)
        until(lambda: lake.holds(8001))
        second.process.kill()
        more(4000)
        until(lambda: lake.holds(sent))  # the others have taken over
        before = first.err.count("reading")
        third.signal(signal.SIGSTOP)
        more(4000)
        until(lambda: first.err.count("reading") > before)
        until(lambda: lake.holds(sent))
        third.signal(signal.SIGCONT)
        more(len(records) - sent)
        produce(broker, RUNS, [manifest()])
        assert [sink.wait(120) for sink in (first, third)] == [0, 0], sinks.all_said()
        assert "gone on without this sink" in third.err or "taken over" in third.err
    except BaseException:
        print(sinks.all_said())
        raise
    finally:
        lake.close()


def test_three_on_sqlite_one_killed_one_stopped_and_woken(
    forked: Starter, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    place = place_of(f"ducklake:sqlite:{tmp_path / 'lake.sqlite'}")
    play_faults(forked, broker, place)
    check(place, 24_000)


@pytest.mark.timeout(500)
@pytest.mark.postgres
def test_twelve_partitions_of_apache_kafka_on_postgres(
    forked: Starter, apache_kafka: ApacheKafka, postgres: Server, tmp_path: Path
) -> None:
    apache_kafka.delete_topics()
    provision(apache_kafka.connection, product_topics(PRODUCT, 12))
    place = place_of(f"ducklake:postgres:{postgres.make_database()}", str(tmp_path / "files"))
    play_faults(forked, apache_kafka, place)
    check(place, 24_000)
