"""The fixture itself: a real broker answers, a cluster survives the loss of a broker and takes it back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from personas.topics import TopicSpec
from simulator.producer import EventProducer
from simulator.topic_admin import admin_client, cluster_id_of, provision
from tests.apache_kafka import ApacheKafka, known_brokers
from tests.integration.program import read_topic

Names = Callable[[str], str]


def test_one_broker_answers_and_makes_no_topic_by_itself(apache_kafka: ApacheKafka, own_name: Names) -> None:
    assert cluster_id_of(apache_kafka.connection)
    name = own_name("events")
    assert provision(apache_kafka.connection, [TopicSpec(name, 4, "user id", "")]) == {name: 4}
    tool = "org.apache.kafka.tools.TopicCommand"
    listed = apache_kafka.tool(tool, "--bootstrap-server", apache_kafka.bootstrap_servers, "--list").stdout.split()
    assert name in listed and own_name("other") not in listed


@pytest.mark.thorough
def test_a_cluster_keeps_every_record_when_a_broker_is_killed(
    apache_kafka_cluster: ApacheKafka, own_name: Names
) -> None:
    kafka, name = apache_kafka_cluster, own_name("events")
    provision(kafka.connection, [TopicSpec(name, 3, "user id", "")], timeout=60)
    with admin_client(kafka.connection) as admin:
        topic = admin.describe_topics([name])[0]
    assert all(len(part["replica_nodes"]) == 3 for part in topic["partitions"])
    sent = 0
    with EventProducer(kafka.connection) as producer:
        for _ in range(2):  # with all three, then with two
            for _ in range(10):
                values = [b"%d" % (sent + n) for n in range(30)]
                producer.send(name, values, [b"k"] * 30, [n % 3 for n in range(30)])
                sent += 30
            producer.flush()
            if kafka.nodes[1].alive:
                kafka.kill(1)
    assert len(known_brokers(kafka.servers("PLAINTEXT").split(",")[1])) == 2
    kafka.restart(1)
    assert sorted(map(int, read_topic(kafka.bootstrap_servers, name, 3))) == list(range(sent))
    assert len(known_brokers(kafka.bootstrap_servers)) == 3


def test_a_broker_that_runs_is_not_started_again(apache_kafka: ApacheKafka) -> None:
    with pytest.raises(AssertionError, match="runs"):
        apache_kafka.restart(1)
