"""Topics are created where they are missing and reported, never altered, where they differ."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from personas.connection import KafkaConnection
from personas.errors import BrokerError
from personas.topics import TopicSpec, product_topics
from simulator import topic_admin
from simulator.broker import free_port
from simulator.topic_admin import cluster_id_of, provision

if TYPE_CHECKING:
    from simulator.broker import EmbeddedBroker

pytestmark = pytest.mark.kafka
Names = Callable[[str], str]


def test_creates_all_topics_of_a_product_and_is_idempotent(embedded_broker: EmbeddedBroker, own_name: Names) -> None:
    topics = product_topics(own_name("shop"), 3)
    expected = {spec.name: spec.partitions for spec in topics}
    assert provision(embedded_broker.connection, topics) == expected
    assert provision(embedded_broker.connection, topics) == expected
    assert cluster_id_of(embedded_broker.connection) == embedded_broker.cluster_id


def test_nothing_to_provision_needs_no_broker() -> None:
    assert provision(KafkaConnection(bootstrap_servers="127.0.0.1:1"), []) == {}


def test_other_partition_counts_are_all_reported_and_nothing_is_touched(
    embedded_broker: EmbeddedBroker, own_name: Names
) -> None:
    one, two, new = (TopicSpec(own_name(stem), 2, "none", "") for stem in ("one", "two", "new"))
    provision(embedded_broker.connection, [one, two])
    grown = [TopicSpec(spec.name, 5, "none", "") for spec in (one, two)]
    with pytest.raises(BrokerError) as caught:
        provision(embedded_broker.connection, [*grown, new])
    for spec in (one, two):
        assert f"topic {spec.name}: found 2 partitions, expected 5" in str(caught.value)
    assert "--partitions" in caught.value.hint
    assert provision(embedded_broker.connection, [one, two]) == {one.name: 2, two.name: 2}
    assert provision(embedded_broker.connection, [TopicSpec(new.name, 7, "none", "")]) == {new.name: 7}


def test_many_callers_at_once(embedded_broker: EmbeddedBroker, own_name: Names) -> None:
    topics = [TopicSpec(own_name(f"t{n}"), 2, "none", "") for n in range(5)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: provision(embedded_broker.connection, topics), range(6)))
    assert answers == [{spec.name: 2 for spec in topics}] * 6


def test_refused_topic_is_reported(embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    import kafka

    def refuse(*_: object, **__: object) -> dict[str, object]:
        return {"topics": [{"name": "x", "error_code": 29, "error_message": "not yours"}]}

    monkeypatch.setattr(kafka.KafkaAdminClient, "create_topics", refuse)
    with pytest.raises(BrokerError, match="topic x: TopicAuthorizationFailedError: not yours"):
        provision(embedded_broker.connection, [TopicSpec("x", 1, "none", "")])


def test_broker_that_is_away() -> None:
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    before = threading.active_count()
    started = time.monotonic()
    with pytest.raises(BrokerError, match=f"No Kafka broker answers at {address} within 0.3 s"):
        provision(KafkaConnection(bootstrap_servers=address), product_topics("shop"), timeout=0.3)
    assert time.monotonic() - started < 20
    assert threading.active_count() == before


def test_listener_that_is_not_kafka() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        before = threading.active_count()
        with pytest.raises(BrokerError, match=f"No Kafka broker answers at {address}"):
            provision(KafkaConnection(bootstrap_servers=address), product_topics("shop"), timeout=0.3)
    assert threading.active_count() <= before


@pytest.mark.parametrize("address", ["here", "here:kafka", "", "here:²", "here:99999", "here:0"])
def test_nonsense_address(address: str) -> None:
    with pytest.raises(BrokerError, match="is not the address of a Kafka broker"):
        provision(KafkaConnection(bootstrap_servers=address or " "), product_topics("shop"), timeout=0.3)


def test_what_is_waited_for_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(topic_admin, "NOTICE_SECONDS", 0.05)
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    before = threading.active_count()
    with pytest.raises(BrokerError), caplog.at_level(logging.WARNING):
        provision(KafkaConnection(bootstrap_servers=address), product_topics("shop"), timeout=0.3)
    assert caplog.messages == [f"waiting for a Kafka broker to answer at {address}, for 0.3 s at most"]
    assert threading.active_count() == before


def test_nothing_is_said_of_a_broker_that_answers(
    embedded_broker: EmbeddedBroker, own_name: Names, caplog: pytest.LogCaptureFixture
) -> None:
    provision(embedded_broker.connection, [TopicSpec(own_name("quiet"), 1, "", "")])
    assert "waiting" not in caplog.text


def test_a_broker_that_has_not_heard_of_a_new_topic_yet_is_asked_again(
    embedded_broker: EmbeddedBroker, own_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a cluster, where another broker has answered before."""
    count, asked = topic_admin._partition_counts, list[int]()
    topic = TopicSpec(own_name("late"), 2, "none", "")

    def late(*arguments: Any) -> dict[str, int]:
        asked.append(len(asked))
        return {} if len(asked) < 4 else count(*arguments)

    monkeypatch.setattr(topic_admin, "_partition_counts", late)
    assert provision(embedded_broker.connection, [topic]) == {topic.name: 2}
    monkeypatch.setattr(topic_admin, "_partition_counts", lambda *_: {})
    other = TopicSpec(own_name("never"), 2, "none", "")
    with pytest.raises(BrokerError, match="tells nothing of"):
        provision(embedded_broker.connection, [other], timeout=1.0)
