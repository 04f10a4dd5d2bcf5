"""Topics on a broker: created where they are missing, counted and reported where they exist, never altered.

The home of kafka-python in this room; may know topic specifications and nothing of what is written to them.
kafka-python's admin client and confluent's both do the job; this one is taken because it answers in ordinary
dictionaries, works with brokers back to 0.10, and can be given up after a bounded time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from personas.connection import KafkaConnection
from personas.errors import BrokerError
from personas.listener import addresses, greet
from personas.topics import TopicSpec
from simulator.tail import check_login

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

log = logging.getLogger("dayone.simulator")

#: After so many seconds without an answer a line says what is waited for.
NOTICE_SECONDS = 2.0
_UNKNOWN_TOPIC = 3
_ALREADY_EXISTS = 36
_START = "Start Kafka there, or leave --bootstrap-servers out to use the embedded broker."


def provision(connection: KafkaConnection, topics: Iterable[TopicSpec], *, timeout: float = 10.0) -> dict[str, int]:
    """Create the topics that are missing and return the number of partitions that each topic really has.

    Replication is the broker's default, or 1 where the broker is too old to have one. Several callers may do this
    at once: who comes second finds the topics there. Raises BrokerError when an existing topic has another number
    of partitions than its specification (nothing is created then), when the broker refuses a topic, and when no
    broker answers within about `timeout` seconds.
    """
    wanted = {spec.name: spec for spec in topics}
    if not wanted:
        return {}
    with admin_client(connection, timeout=timeout) as admin:
        present = _partition_counts(admin, wanted)
        _check(wanted, present)
        missing = [spec for name, spec in wanted.items() if name not in present]
        if missing:
            _create(admin, missing, timeout)
            admin.wait_for_topics([spec.name for spec in missing], timeout_ms=int(timeout * 1000))
            present = _all_counted(admin, wanted, timeout)
            _check(wanted, present)  # somebody else may have been quicker, with another number
        return {name: present[name] for name in wanted}


def _all_counted(admin: KafkaAdminClient, wanted: Mapping[str, TopicSpec], timeout: float) -> dict[str, int]:
    """The partitions of all topics, once the broker that is asked tells of each: of a cluster another one may have
    heard of a new topic before."""
    deadline = time.monotonic() + timeout
    while not wanted.keys() <= (present := _partition_counts(admin, wanted)).keys():
        if time.monotonic() >= deadline:
            raise BrokerError(f"Kafka tells nothing of {', '.join(sorted(wanted.keys() - present.keys()))}, which it "
                              f"created {timeout:g} s ago.", hint="Start again when the cluster is well.")  # fmt: skip
        time.sleep(0.05)
    return present


def cluster_id_of(connection: KafkaConnection, *, timeout: float = 10.0) -> str:
    """The broker's cluster id. Raises BrokerError when no broker answers within `timeout` seconds."""
    with admin_client(connection, timeout=timeout) as admin:
        return str(admin.describe_cluster()["cluster_id"])


@contextlib.contextmanager
def admin_client(connection: KafkaConnection, *, timeout: float = 10.0) -> Iterator[KafkaAdminClient]:
    """A connected kafka-python admin client, closed at the end; its errors leave as BrokerError.

    The first connection is tried by hand, so that a broker that is away, or does not let us in, costs none of the
    client's log lines and threads; after two seconds one line of our own says what is waited for. kafka-python's own
    log is silent unless the logger `kafka` has been given a level.
    """
    with warnings.catch_warnings():  # the package reads its own schemas by a deprecated function, at import
        warnings.simplefilter("ignore", DeprecationWarning)
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError
        from kafka.net.compat import KafkaNetClient

    chatter = logging.getLogger("kafka")
    if chatter.level == logging.NOTSET:
        chatter.setLevel(logging.CRITICAL)
    servers = connection.servers
    deadline = time.monotonic() + timeout
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(KafkaNetClient(**options))
        return made[-1]

    with _notice(servers, timeout):
        _await_listener(connection, deadline, timeout)
        if connection.logs_in:  # kafka-python would try a wrong password until its time is up, and not say why
            check_login(connection, timeout=timeout)
        try:
            admin = KafkaAdminClient(
                **connection.admin_options(),
                client_id="dayone-simulator",
                bootstrap_timeout_ms=max(100, int((deadline - time.monotonic()) * 1000)),
                request_timeout_ms=int(timeout * 1000),
                reconnect_backoff_max_ms=500,
                kafka_client=make,
            )
        except (KafkaError, OSError) as error:
            for client in made:  # the constructor leaves its thread running when it gives up
                client.close()
                client._manager._net.stop()
            raise _away(servers, timeout, str(error)) from error
    try:
        yield admin
    except (KafkaError, OSError) as error:
        raise BrokerError(f"Kafka at {servers} failed: {type(error).__name__}: {error}", hint=_START) from error
    finally:
        admin.close()


@contextlib.contextmanager
def _notice(servers: str, timeout: float) -> Iterator[None]:
    """Say what is waited for when it takes longer than a person expects."""
    words = "waiting for a Kafka broker to answer at %s, for %g s at most"
    timer = threading.Timer(NOTICE_SECONDS, log.warning, (words, servers, timeout))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _await_listener(connection: KafkaConnection, deadline: float, timeout: float) -> None:
    words = ""
    while True:
        for host, port in addresses(connection):
            try:
                greet(connection, host, port, timeout=max(0.05, deadline - time.monotonic()))
                return
            except OSError as error:
                words = error.strerror or str(error)
        if time.monotonic() >= deadline:
            raise _away(connection.servers, timeout, words)
        time.sleep(0.05)


def _away(servers: str, timeout: float, words: str) -> BrokerError:
    return BrokerError(f"No Kafka broker answers at {servers} within {timeout:g} s: {words}.", hint=_START)


def _partition_counts(admin: KafkaAdminClient, wanted: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for topic in admin.describe_topics(list(wanted)):
        if topic["error_code"] == 0 and topic["partitions"]:
            counts[topic["name"]] = len(topic["partitions"])
        elif topic["error_code"] not in (0, _UNKNOWN_TOPIC):
            raise BrokerError(f"Kafka does not describe topic {topic['name']}: {_name(topic['error_code'])}.")
    return counts


def _check(wanted: dict[str, TopicSpec], present: dict[str, int]) -> None:
    faults = [
        f"topic {name}: found {present[name]} partitions, expected {spec.partitions}"
        for name, spec in wanted.items()
        if name in present and present[name] != spec.partitions
    ]
    if faults:
        raise BrokerError(
            "Topics exist with another number of partitions, and are left as they are:\n  " + "\n  ".join(faults),
            hint="Give --partitions as the topics have it, or delete the topics (and their records) first.",
        )


def _create(admin: KafkaAdminClient, specs: list[TopicSpec], timeout: float) -> None:
    from kafka.errors import IncompatibleBrokerVersion

    def request(replication: int) -> dict[str, Any]:
        topics = {
            spec.name: {
                "num_partitions": spec.partitions,
                "replication_factor": replication,
                "configs": spec.config,
            }
            for spec in specs
        }
        answer: dict[str, Any] = admin.create_topics(topics, timeout_ms=int(timeout * 1000), raise_errors=False)
        return answer

    try:
        answer = request(-1)
    except IncompatibleBrokerVersion:
        answer = request(1)
    refused = [
        f"topic {topic['name']}: {_name(topic['error_code'])}: {topic.get('error_message') or 'no reason given'}"
        for topic in answer["topics"]
        if topic["error_code"] not in (0, _ALREADY_EXISTS)
    ]
    if refused:
        raise BrokerError(
            "Kafka refuses to create topics:\n  " + "\n  ".join(refused),
            hint="Create them by hand, or ask for the right to; names, partitions and settings: dayone asyncapi.",
        )


def _name(code: int) -> str:
    from kafka.errors import for_code

    return str(for_code(code).__name__)
