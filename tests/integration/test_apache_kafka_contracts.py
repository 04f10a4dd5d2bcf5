"""Apache Kafka under the suites that the embedded broker passes too, as they are."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from personas.connection import KafkaConnection
from personas.topics import TopicSpec
from simulator.producer import EventProducer
from simulator.topic_admin import provision
from tests.apache_kafka import ApacheKafka, free_ports
from tests.contracts.producer import ProducerContract, read_all
from tests.contracts.sink_on_kafka import SinkOnKafka


class TestEventProducerOnApacheKafka(ProducerContract):
    @pytest.fixture(autouse=True)
    def _broker(self, apache_kafka: ApacheKafka) -> None:
        self.connection = apache_kafka.connection

    def producer(self) -> EventProducer:
        return EventProducer(self.connection)

    def topic(self) -> str:
        name = f"produced-{uuid.uuid4().hex}"
        provision(self.connection, [TopicSpec(name, 3, "user id", "")])
        return name

    def written(self, producer: Any, topic: str) -> list[Any]:
        return read_all(self.connection, topic, 3)

    def broken(self) -> EventProducer:
        return EventProducer(KafkaConnection(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}"), delivery_timeout=0.3)


class TestSinkOnApacheKafka(SinkOnKafka):
    @pytest.fixture
    def broker(self, apache_kafka: ApacheKafka) -> ApacheKafka:
        apache_kafka.delete_topics()
        return apache_kafka
