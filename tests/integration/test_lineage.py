"""Lineage of builds on a topic, and on one that cannot be reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic

from personas.connection import KafkaConnection
from personas.errors import BrokerError
from sinks.training.papers import emitting
from sinks.training.papers.emitting import emitter
from sinks.training.papers.lineage import State, run_event
from tests.sinks.training.test_lineage import NOW

EVENTS: tuple[State, State] = ("START", "COMPLETE")


@pytest.mark.kafka
def test_events_are_on_the_topic_in_order_under_the_id_of_the_run(servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    for made in admin.create_topics([NewTopic("lineage", 1, 1)]).values():
        made.result(10)
    emit = emitter("kafka:lineage", KafkaConnection(bootstrap_servers=servers))
    assert emit is not None
    for state in EVENTS:
        emit(run_event(state, run_id="7", task="next_event", version="v", store="a", product="shop", out=Path("x"),
                       time=NOW, program="1"))  # fmt: skip
    options = {"bootstrap.servers": servers, "group.id": "catalogue", "auto.offset.reset": "earliest",
               "session.timeout.ms": 6000, "heartbeat.interval.ms": 500}  # fmt: skip
    consumer = Consumer(options)
    try:
        consumer.subscribe(["lineage"])
        found = consumer.consume(len(EVENTS), timeout=30)
    finally:
        consumer.close()
    assert [json.loads(message.value())["eventType"] for message in found] == [*EVENTS]
    assert {message.key() for message in found} == {b"7"}


def test_a_broker_that_is_away_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitting, "_DELIVERY_SECONDS", 0.5)
    emit = emitter("kafka:lineage", KafkaConnection(bootstrap_servers="127.0.0.1:1"))
    assert emit is not None
    with pytest.raises(BrokerError, match="takes no events"):
        emit(run_event("START", run_id="7", task="t", version="", store="a", product="", out=Path("x"), time=NOW,
                       program="1"))  # fmt: skip
