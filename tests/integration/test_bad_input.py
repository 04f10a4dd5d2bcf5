"""What goes wrong outside: an exit code, a message for people, no traceback, and nothing else lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from personas.connection import KafkaConnection
from personas.event import CONTENT_TYPE_HEADER
from personas.population import DAY_MS
from personas.topics import TopicSpec, data_topics, dead_letter_topic, labels_topic
from simulator.producer import MemoryProducer
from simulator.topic_admin import provision
from sinks.store import Store
from tests.integration.program import (
    EVENTS,
    PACK,
    ROOT,
    ask,
    assert_same,
    expected,
    free_port,
    metrics,
    of_store,
    read_topic,
    until,
)
from tests.nursery import Starter
from tests.runs import pack_of, simulation_of, store_records

pytestmark = pytest.mark.kafka
SMALL = ("--users", 50, "--days", 2)
SHORT = {"DAYONE_SIMULATOR_CONNECT_SECONDS": "1"}


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def refused(program: Any, code: int, *words: str) -> None:
    """It ended with this exit code and said these words on standard error."""
    assert program.wait() == code, (program.out, program.err)
    told = " ".join(program.err.split())
    for word in words:
        assert word in told, program.err


# Settings and packs


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (("simulate", PACK, "--users", "none"), {}, "--users"),
        (("simulate", PACK, "--problems", "often"), {}, "--problems 'often' is not a factor"),
        (("up", PACK, "--start", "yesterday"), {}, "--start 'yesterday' is not a date"),
        (("simulate", PACK, "--shard", "5/4", "--bootstrap-servers", "127.0.0.1:1"), {}, "shard 5/4 does not exist"),
        (("simulate", PACK), {"DAYONE_KAFKA_PARTITIONS": "many"}, "(Partitions of each data topic): found 'many'"),
        (("sink", PACK), {"DAYONE_SINK_BATCH_ROWS": "0"}, "DAYONE_SINK_BATCH_ROWS"),
        (("control", "faster"), {}, "unknown command 'faster'"),
    ],
)
def test_a_wrong_option_or_variable(
    arguments: tuple[str, ...], env: dict[str, str], words: str, dayone: Starter
) -> None:
    refused(dayone(*arguments, env=env), 2, words)


def test_a_wrong_pack(dayone: Starter, tmp_path: Path) -> None:
    copy = tmp_path / "cut"
    shutil.copytree(ROOT / "personas" / "packs" / PACK, copy)
    product = copy / "product.yaml"
    text = product.read_text("utf-8")
    product.write_text(text[: text.index("events:") + 40] + '\n  "', "utf-8")
    unknown, cut, cut_sink = dayone("up", "shoop"), dayone("up", copy), dayone("sink", copy, "--store", "new.duckdb")
    refused(unknown, 3, "shoop")
    refused(cut, 3, "product.yaml:")
    refused(cut_sink, 3, "product.yaml:")
    assert not (tmp_path / "new.duckdb").exists() and not (tmp_path / "dayone.duckdb").exists()


# Addresses


def test_an_occupied_port(dayone: Starter, servers: str, taken: int) -> None:
    metrics_taken = dayone("simulate", PACK, *SMALL, "--bootstrap-servers", servers, "--metrics-port", taken)
    broker_taken = dayone("broker", "--port", taken)
    up_taken = dayone("up", PACK, *SMALL, "--port", taken, "--store", "a.duckdb")
    sink_taken = dayone("sink", PACK, "--bootstrap-servers", servers, "--metrics-port", taken, "--store", "b.duckdb")
    refused(metrics_taken, 6, f"127.0.0.1:{taken}", "--metrics-port")
    refused(broker_taken, 6, f"127.0.0.1:{taken}", "in use", "another --port")
    refused(up_taken, 6, f"127.0.0.1:{taken}", "in use")
    refused(sink_taken, 6, f"127.0.0.1:{taken}", "--metrics-port")


def test_a_database_and_a_port_that_are_both_taken_are_both_told(dayone: Starter, servers: str, taken: int) -> None:
    with Store.open(dayone.folder / "a.duckdb"):
        second = dayone("sink", PACK, "--bootstrap-servers", servers, "--metrics-port", taken, "--store", "a.duckdb")
        words = "another process has the database open", f"127.0.0.1:{taken}: cannot listen", "--metrics-port"
        refused(second, 5, *words)


def test_check_ends_with_1_where_a_rule_does_not_hold(dayone: Starter) -> None:
    pack, producer = pack_of(PACK), MemoryProducer()
    simulation_of(PACK, users=40, producer=producer).advance(3 * DAY_MS)
    with Store.open(dayone.folder / "a.duckdb") as store:
        store_records(store, pack, producer.records)
    good = dayone("check", PACK, "--store", "a.duckdb")
    assert good.wait() == 0 and "0 violations in 1 run(s)" in good.out
    with Store.open(dayone.folder / "a.duckdb") as store:
        store.query("DELETE FROM events WHERE type = 'product_added'")
    bad, as_json = dayone("check", PACK, "--store", "a.duckdb"), dayone("check", PACK, "--store", "a.duckdb", "--json")
    assert bad.wait() == 1 and "counter bag" in bad.out and "violations in 1 run(s)" in bad.out
    assert as_json.wait() == 1
    assert {"session_id", "sequence", "kind"} <= set(json.loads(as_json.out)[0])


def test_the_port_of_the_sink_in_up_is_occupied(dayone: Starter, taken: int) -> None:
    env = {"DAYONE_SINK_METRICS_PORT": str(taken)}
    up = dayone("up", PACK, *SMALL, "--live", "--metrics-port", free_port(), env=env)
    refused(up, 6, f"127.0.0.1:{taken}")


def test_a_broker_that_is_away(dayone: Starter) -> None:
    away, begun = f"127.0.0.1:{free_port()}", time.monotonic()
    programs = [
        dayone("simulate", PACK, *SMALL, "--bootstrap-servers", away, "--metrics-port", 0, env=SHORT),
        dayone("sink", PACK, "--bootstrap-servers", away, "--metrics-port", 0, "--connect-seconds", 1),
        dayone("up", PACK, *SMALL, "--bootstrap-servers", away, "--metrics-port", 0, "--store", "c.duckdb",
               env=SHORT | {"DAYONE_SINK_CONNECT_SECONDS": "1"}),
        dayone("control", "pause", "--bootstrap-servers", away, "--timeout", 1),
    ]  # fmt: skip
    for program in programs:
        refused(program, 4, away)
    assert time.monotonic() - begun < 60


def test_topics_with_another_number_of_partitions_are_not_touched(dayone: Starter, servers: str) -> None:
    connection = KafkaConnection(bootstrap_servers=servers)
    provision(connection, [TopicSpec(labels_topic(PACK), 3, "user id", "made by somebody else")])
    one = dayone("simulate", PACK, *SMALL, "--bootstrap-servers", servers, "--metrics-port", 0)
    refused(one, 4, labels_topic(PACK), "3", "4")
    assert read_topic(servers, labels_topic(PACK), 3) == []
    found = metadata(servers)
    assert found[labels_topic(PACK)] == 3
    assert not set(found) & (set(data_topics(PACK)) - {labels_topic(PACK)}), "nothing was created either"


def metadata(servers: str) -> dict[str, int]:
    """Partitions of every topic."""
    from confluent_kafka.admin import AdminClient

    topics = AdminClient({"bootstrap.servers": servers}).list_topics(timeout=60).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


# Databases


def test_a_database_that_cannot_be_used(dayone: Starter, servers: str, tmp_path: Path) -> None:
    import duckdb

    (tmp_path / "text.duckdb").write_text("not a database at all\n" * 1000, "utf-8")
    with duckdb.connect(str(tmp_path / "newer.duckdb")) as connection:
        connection.execute("CREATE TABLE schema_migrations (position INTEGER, name VARCHAR, applied TIMESTAMPTZ)")
        connection.execute("INSERT INTO schema_migrations VALUES (0, 'from_the_future', now())")
    before = (tmp_path / "newer.duckdb").read_bytes()
    options = ("--bootstrap-servers", servers, "--metrics-port", 0)
    missing = dayone("sink", PACK, "--store", "nowhere/x.duckdb", *options)
    text = dayone("sink", PACK, "--store", "text.duckdb", *options)
    newer = dayone("sink", PACK, "--store", "newer.duckdb", *options)
    up = dayone("up", PACK, *SMALL, "--store", "nowhere/x.duckdb", "--metrics-port", 0)
    refused(missing, 5, "the directory nowhere does not exist")
    refused(text, 5, "text.duckdb", "not a DuckDB database")
    refused(newer, 5, "newer schema", "from_the_future")
    refused(up, 5, "the directory nowhere does not exist")
    assert (tmp_path / "newer.duckdb").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="root may write anywhere")
def test_a_directory_that_may_not_be_written(dayone: Starter, servers: str, tmp_path: Path) -> None:
    """Root may write in any directory but those that the kernel holds, so for root one of these stands for it."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    store = Path("/proc/self/x.duckdb") if os.geteuid() == 0 else folder / "x.duckdb"
    refused(dayone("sink", PACK, "--store", store, "--bootstrap-servers", servers, "--metrics-port", 0), 5, str(store))


def test_a_full_disk_ends_the_sink_and_loses_nothing(dayone: Starter, servers: str, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: both fail the write in the same place."""
    wanted, store = expected(300, 20), tmp_path / "full.duckdb"
    options = ("--bootstrap-servers", servers, "--metrics-port", 0)
    simulator = dayone("simulate", PACK, "--users", 300, "--days", 20, *options)
    assert simulator.wait() == 0, simulator.err
    command = ("sink", PACK, "--store", store, "--until-completed", *options)
    first = dayone(*command, "--batch-rows", 1000, file_limit=1_536_000)
    refused(first, 5, "the disk is full", "everything before it is safe")
    again = dayone(*command)
    assert again.wait() == 0, again.err
    assert_same(of_store(store), wanted)


# Messages


def test_bad_messages_become_dead_letters_and_nothing_else_is_lost(
    dayone: Starter, servers: str, tmp_path: Path
) -> None:
    """Written by a foreign producer into the topics of a running sink, while the simulator writes its own."""
    wanted, store, port = expected(300, 20), tmp_path / "run.duckdb", free_port()
    sink = dayone("sink", PACK, "--store", store, "--bootstrap-servers", servers, "--metrics-port", port)
    run = dayone("simulate", PACK, "--users", 300, "--days", 20, "--bootstrap-servers", servers, "--metrics-port", 0,
                 "--batch-events", 500)  # fmt: skip
    until(lambda: metrics(port).get("dayone_sink_rows_total", 0.0) > 0, sink)
    good = json.loads(read_topic(servers, EVENTS, 4)[0])
    bad = {
        "not_json": b"{ this is no JSON",
        "not_utf8": b'{"specversion":"\xff\xfe"}',
        "unknown_event_type": json.dumps(good | {"type": "teleported"}).encode(),
        "wrong_envelope": b'{"specversion":"1.0"}',
        "wrong_product": json.dumps(good | {"source": "/dayone/other"}).encode(),
        "too_large": json.dumps(good | {"data": {"text": "x" * 10 * 1024 * 1024}}).encode(),
    }
    send(servers, EVENTS, list(bad.values()))
    assert run.wait() == 0, run.err
    sink.signal(signal.SIGTERM)  # it drains
    assert sink.wait() == 0, sink.err

    assert_same(of_store(store), wanted)
    letters = ask(store, "SELECT reason, value_bytes, topic, detail FROM dead_letters ORDER BY reason")
    assert [(reason, size) for reason, size, *_ in letters] == sorted((name, len(value)) for name, value in bad.items())
    assert all(topic == EVENTS and detail for *_, topic, detail in letters)
    on_topic = read_topic(servers, dead_letter_topic(EVENTS))
    small = {value for name, value in bad.items() if name != "too_large"}
    assert set(on_topic) >= small and len(on_topic) == len(bad)
    assert "6 dead letters" in sink.err


def send(servers: str, topic: str, values: list[bytes]) -> None:
    """As another program would: its own client, no partition chosen, messages as large as it likes."""
    from confluent_kafka import Producer

    faults: list[str] = []
    producer = Producer({"bootstrap.servers": servers, "message.max.bytes": 20_000_000})
    for value in values:
        producer.produce(
            topic, value, key=b"stranger", headers=[CONTENT_TYPE_HEADER],
            on_delivery=lambda error, _: faults.append(str(error)) if error else None,
        )  # fmt: skip
    assert producer.flush(20) == 0 and not faults, faults


def test_a_broker_that_dies_is_noticed(dayone: Starter) -> None:
    import psutil

    broker = dayone("broker", "--port", 0)
    until(lambda: "DAYONE_KAFKA_BOOTSTRAP_SERVERS" in broker.err, broker)
    for child in psutil.Process(broker.process.pid).children(recursive=True):
        if "tansu" in child.name():
            child.kill()
    refused(broker, 4, "died")
