"""kafka-python's sender: how it is set up, and whether anybody listens where it is to send.

With `producer`, which puts ready-made batches into it, the home of kafka-python's producer; knows no records.
"""

from __future__ import annotations

import functools
import logging
import socket
import warnings
from collections.abc import Callable
from typing import Any

from personas.connection import KafkaConnection
from personas.errors import AccessError, BrokerError
from personas.listener import addresses, greet
from simulator.tail import check_login

#: The scheme by which kafka-python finds `_tidy_sockets`.
DIRECT = "direct"


def sender_options(connection: KafkaConnection) -> dict[str, Any]:
    """The settings of the sender, in kafka-python's words; secrets of the connection among them."""
    return {
        **connection.admin_options(),
        "client_id": "dayone-simulator",
        "enable_idempotence": True,
        "acks": "all",
        "linger_ms": 0,
        # No batch times out alone: what comes after it could still arrive. We give up on all of them at once.
        "delivery_timeout_ms": 7 * 24 * 3_600_000,
        "request_timeout_ms": 30_000,
        "max_block_ms": 10_000,
        "reconnect_backoff_max_ms": 500,
        "bootstrap_timeout_ms": 5000,
        "allow_auto_create_topics": False,  # a replaced broker must not make them with its own idea of partitions
        "metrics_enabled": False,
        "proxy_url": f"{DIRECT}://",
    }


def unreachable(connection: KafkaConnection) -> str:
    """Why no broker takes a connection at any of its addresses; empty when one does."""
    words = ""
    for host, port in addresses(connection):
        try:
            greet(connection, host, port, timeout=1.0)
            return ""
        except (OSError, AccessError) as error:
            words = getattr(error, "strerror", None) or str(error)
    return words


def trouble_of(connection: KafkaConnection) -> str:
    """Why nothing is acknowledged: nobody answers, or our login is not accepted; empty when neither is so."""
    words = unreachable(connection)
    if not words and connection.logs_in:  # kafka-python does not say that
        try:
            check_login(connection, timeout=2.0)
        except BrokerError as error:
            words = str(error).splitlines()[0].rstrip(".")
    return words


@functools.cache
def _tidy_sockets() -> None:
    """Teach kafka-python to close the socket of an attempt to connect that failed: by itself it leaves that to the
    garbage collector, and a long outage has many. Sockets of another kind are had by a scheme of `proxy_url`."""
    from kafka.net.inet import KafkaNetSocket

    class TidySocket(KafkaNetSocket):  # type: ignore[misc]  # registered by being defined
        SCHEMES = (DIRECT,)

        async def sock_connect(self, net: Any, sock: socket.socket, *rest: Any, **options: Any) -> Any:
            try:
                return await super().sock_connect(net, sock, *rest, **options)
            except BaseException:
                sock.close()
                raise


def connected(options: dict[str, Any], on_metadata: Callable[[Any], None]) -> Any:
    """A running sender (a `kafka.KafkaProducer`); None when the broker does not answer. `on_metadata` is called in the
    sender's thread with what it knows of the cluster, now and whenever it has learnt more. kafka-python's own log is
    silent unless the logger `kafka` has been given a level."""
    with warnings.catch_warnings():  # the package reads its own schemas by a deprecated function, at import
        warnings.simplefilter("ignore", DeprecationWarning)
        from kafka import KafkaProducer
        from kafka.errors import KafkaError
        from kafka.net.compat import KafkaNetClient

    _tidy_sockets()
    log = logging.getLogger("kafka")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)
    made: list[Any] = []

    def make(**configs: Any) -> Any:
        made.append(KafkaNetClient(**configs))
        return made[-1]

    try:
        sender = KafkaProducer(**options, kafka_client=make)
    except (KafkaError, OSError):
        for client in made:  # the constructor leaves its thread running when it gives up
            client.close()
            client._manager._net.stop()
        return None
    on_metadata(sender._metadata)
    sender._metadata.add_listener(on_metadata)
    return sender
