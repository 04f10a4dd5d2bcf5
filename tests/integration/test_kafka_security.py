"""Logging in over TLS: every client of ours by the same settings, refusals told at once, and no secret told at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from personas.connection import KafkaConnection
from personas.errors import AccessError, BrokerError, DeliveryError
from personas.topics import CONTROL, TopicSpec
from simulator.control import listening, parse_command, send_command
from simulator.producer import EventProducer
from simulator.settings import SimulatorSettings
from simulator.steering import Steering
from simulator.tail import end_offsets, last_messages
from simulator.topic_admin import cluster_id_of, provision
from sinks.batch import Messages
from sinks.settings import SinkSettings
from sinks.subscriber import KafkaSource
from tests.apache_kafka import ApacheKafka
from tests.certificates import Authority
from tests.integration.program import assert_same, expected, of_store
from tests.nursery import Starter

Names = Callable[[str], str]
PASSWORD = "open sesame"
#: A refusal comes well before the time is up that an absent broker is waited for.
PATIENCE, AT_ONCE = 20.0, 6.0


def login(kafka: ApacheKafka, **changes: str) -> dict[str, str]:
    """The settings, without their prefix, of the listener with a login over TLS."""
    assert kafka.tls is not None
    return {
        "kafka_bootstrap_servers": kafka.servers("SASL_SSL"), "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "SCRAM-SHA-512", "kafka_sasl_username": "dayone", "kafka_sasl_password": PASSWORD,
        "kafka_ssl_ca_file": str(kafka.tls.authority.file), **changes,
    }  # fmt: skip


def certificate(kafka: ApacheKafka, **changes: str) -> dict[str, str]:
    """The settings of the listener that asks for a certificate."""
    assert kafka.tls is not None
    own = str(kafka.tls.authority.sign("client", password="a key's own"))
    return {
        "kafka_bootstrap_servers": kafka.servers("SSL"), "kafka_security_protocol": "ssl",
        "kafka_ssl_ca_file": str(kafka.tls.authority.file), "kafka_ssl_certificate_file": own,
        "kafka_ssl_key_password": "a key's own", **changes,
    }  # fmt: skip


def environment(settings: dict[str, str]) -> dict[str, str]:
    return {f"DAYONE_{name.upper()}": value for name, value in settings.items()}


@pytest.fixture(params=[login, certificate])
def connection(request: pytest.FixtureRequest, apache_kafka: ApacheKafka, monkeypatch: Any) -> KafkaConnection:
    """As the simulator's and the sink's settings make it from the environment."""
    for name, value in environment(request.param(apache_kafka)).items():
        monkeypatch.setenv(name, value)
    assert SimulatorSettings().connection == SinkSettings().connection
    return SimulatorSettings().connection


def test_admin_producer_and_tail(connection: KafkaConnection, own_name: Names) -> None:
    topic = own_name("events")
    provision(connection, [TopicSpec(topic, 2, "user id", "")])
    with EventProducer(connection) as producer:
        producer.send(topic, [b"a", b"b", b"c"], [b"k"] * 3, [0, 1, 1])
    assert end_offsets(connection, topic, [0, 1]) == {0: 1, 1: 2}
    assert last_messages(connection, topic, [0, 1], lambda value: True) == {0: b"a", 1: b"c"}


def test_steering(connection: KafkaConnection) -> None:
    steering = Steering("shop-secured")
    with listening(connection, steering):
        replies = send_command(connection, parse_command(b'{"command": "pause", "run_id": "shop-secured"}'), timeout=60)
    assert [reply.accepted for reply in replies] == [True]
    assert end_offsets(connection, CONTROL, [0])[0] > 0


def test_the_sinks_subscriber(connection: KafkaConnection, own_name: Names) -> None:
    topic = own_name("events")
    provision(connection, [TopicSpec(topic, 1, "user id", "")])
    with EventProducer(connection) as producer:
        producer.send(topic, [b"%d" % n for n in range(100)], [b"k"] * 100, [0] * 100)

    async def play() -> list[bytes | None]:
        source = KafkaSource(connection, [topic], own_name("group"))
        values: list[bytes | None] = []

        async def take(messages: Any) -> None:
            given: Messages
            for given in messages:
                values.extend(given.values)

        assert (await source.describe(10)).ends == {(topic, 0): 100}
        await source.start({(topic, 0): 0}, take, lambda error: None)
        deadline = time.monotonic() + 60
        while len(values) < 100 and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        await source.acknowledge({(topic, 0): 100})
        await source.close()
        return values

    assert asyncio.run(play()) == [b"%d" % n for n in range(100)]


def describe(connection: KafkaConnection) -> None:
    async def play() -> None:
        source = KafkaSource(connection, ["any"], "group")
        try:
            await source.describe(PATIENCE)
        finally:
            await source.close()

    asyncio.run(play())


CLIENTS = {"admin": lambda made: cluster_id_of(made, timeout=PATIENCE), "sink": describe}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("wrong password", "does not accept the login of 'dayone'"),
        ("unknown user", "does not accept the login of 'nobody'"),
        ("unknown authority", "is not trusted: .*certificate"),
        ("no TLS", "expects TLS, and DAYONE_KAFKA_SECURITY_PROTOCOL is without it"),
        ("no certificate", "breaks off TLS: .*certificate"),
        ("TLS where there is none", "breaks off TLS"),
    ],
)
def test_a_refusal_is_told_at_once(
    apache_kafka: ApacheKafka, tmp_path: Path, client: str, trouble: str, words: str
) -> None:
    stranger = str(Authority.make(tmp_path, "stranger").file)
    settings = {
        "wrong password": login(apache_kafka, kafka_sasl_password="open barley"),
        "unknown user": login(apache_kafka, kafka_sasl_username="nobody"),
        "unknown authority": login(apache_kafka, kafka_ssl_ca_file=stranger),
        "no TLS": {"kafka_bootstrap_servers": apache_kafka.servers("SASL_SSL")},
        "no certificate": certificate(apache_kafka, kafka_ssl_certificate_file="", kafka_ssl_key_password=""),
        "TLS where there is none": login(apache_kafka, kafka_bootstrap_servers=apache_kafka.bootstrap_servers),
    }[trouble]
    made = SimulatorSettings(**{name: value for name, value in settings.items() if value}).connection
    began = time.monotonic()
    with pytest.raises(AccessError, match=words) as caught:
        CLIENTS[client](made)
    assert time.monotonic() - began < AT_ONCE
    assert "open" not in str(caught.value) and "DAYONE_KAFKA_" in str(caught.value)


def test_producer_and_tail_say_it_too(apache_kafka: ApacheKafka) -> None:
    made = SimulatorSettings(**login(apache_kafka, kafka_sasl_password="open barley")).connection
    with pytest.raises(BrokerError, match=r"(?i)authentication") as caught:
        end_offsets(made, "any", [0], timeout=4)
    assert "open" not in str(caught.value)
    producer = EventProducer(made, delivery_timeout=4.0)
    producer.send("any", [b"v"], [b"k"], [0])
    with pytest.raises(DeliveryError, match=r"(?i)authentication") as refused:
        producer.flush(20)
    assert "open" not in str(refused.value)
    producer.close()


def test_the_whole_program_with_a_password_in_a_file(
    dayone: Starter, apache_kafka: ApacheKafka, tmp_path: Path
) -> None:
    apache_kafka.delete_topics()
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n", "utf-8")
    settings = login(apache_kafka, kafka_sasl_password="", kafka_sasl_password_file=str(secret))
    env = environment(settings) | {"DAYONE_LOG_LEVEL": "debug"}
    store = tmp_path / "secured.duckdb"
    program = dayone("up", "shop", "--users", 150, "--days", 3, "--store", store, env=env)
    assert program.wait() == 0, program.err
    assert_same(of_store(store), expected(150, 3.0))
    letters = dayone("dlq", "list", "--bootstrap-servers", settings["kafka_bootstrap_servers"], env=env)
    assert letters.wait() == 0, letters.err
    shown = dayone("config", env=env)
    assert shown.wait() == 0, shown.err
    assert f"DAYONE_KAFKA_SASL_PASSWORD          ***  [file {secret}; simulator, sink]" in shown.out
    assert not any(PASSWORD in text for each in dayone.started for text in (each.out, each.err))


@pytest.mark.parametrize("command", [("simulate", "shop"), ("sink", "shop"), ("control", "pause")])
def test_a_wrong_password_ends_every_command(dayone: Starter, apache_kafka: ApacheKafka, command: Any) -> None:
    program = dayone(*command, env=environment(login(apache_kafka, kafka_sasl_password="open barley")))
    assert program.wait(30) == BrokerError.exit_code
    assert "does not accept the login of 'dayone'" in program.err and "open" not in program.err


def test_a_secured_environment_does_not_reach_the_embedded_broker(
    dayone: Starter, apache_kafka: ApacheKafka, tmp_path: Path
) -> None:
    env = environment({k: v for k, v in login(apache_kafka).items() if k != "kafka_bootstrap_servers"})
    program = dayone("up", "shop", "--users", 40, "--days", 2, "--store", tmp_path / "a.duckdb", env=env)
    assert program.wait() == 0, program.err
