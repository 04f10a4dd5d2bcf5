"""What answers at a broker's address: greets it once, and says at once why it will not have us.

Kafka's clients take every trouble for a passing one and try again until their time is up. Three troubles never pass: a
certificate that nobody trusted signed, encryption on one side only, a certificate of ours that is asked for and not
there. So before a client is made, one connection is opened by hand, with TLS where that is set, and asked the one
question that every broker answers before any login (ApiVersions, version 0). Passwords are left to the clients;
`topics_of` asks one whether they were refused. Knows sockets, and imports no client library.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from typing import Any

from personas.connection import KafkaConnection
from personas.errors import AccessError, BrokerError

#: ApiVersions (18), version 0, correlation 0, no client id; before it, its length.
_QUESTION = struct.pack(">ihhih", 10, 18, 0, 0, -1)
#: How the answer of a listener begins that speaks TLS: with an alert.
_ALERT = b"\x15\x03"
#: Seconds for one question to a broker that does not answer.
_TURN = 1.5
_PROTOCOL = "DAYONE_KAFKA_SECURITY_PROTOCOL"


def addresses(connection: KafkaConnection) -> list[tuple[str, int]]:
    """Host and port of every broker that is named. BrokerError where one is not HOST:PORT."""
    found = []
    for address in connection.servers.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 65_536:
            hint = "Write HOST:PORT, the port from 1 to 65535, with commas between several."
            raise BrokerError(f"{address.strip()!r} is not the address of a Kafka broker.", hint=hint)
        found.append((host.strip("[]"), int(port)))
    return found


def greet(connection: KafkaConnection, host: str, port: int, *, timeout: float) -> None:
    """Return when something at this address takes the connection as it is set. OSError where nobody is there, or the
    connection breaks; AccessError where it never will be taken. A listener that stays silent is left to the client."""
    where = f"{host}:{port}"
    with socket.create_connection((host, port), timeout=timeout) as plain:
        if not connection.uses_tls:
            _refuse_alert(_answer(plain, timeout), where)
            return
        try:
            with connection.tls_context().wrap_socket(plain, server_hostname=host) as encrypted:
                _answer(encrypted, timeout)
        except ssl.SSLCertVerificationError as error:
            raise AccessError(
                f"The certificate of Kafka at {where} is not trusted: {error.verify_message}.",
                hint="DAYONE_KAFKA_SSL_CA_FILE must hold the authority that signed it, and it must name this address.",
            ) from None
        except ssl.SSLError as error:
            raise AccessError(f"Kafka at {where} breaks off TLS: {_reason(error)}.", hint=_hint(error)) from None


class Refusals:
    """An `error_cb` for a librdkafka client: remembers why the broker does not take our name or password."""

    def __init__(self) -> None:
        self.words = ""

    def __call__(self, error: Any) -> None:
        if error.name() == "_AUTHENTICATION":
            self.words = error.str()


def topics_of(
    client: Any, connection: KafkaConnection, refusals: Refusals, trouble: type[Exception], *, timeout: float
) -> Any:
    """What `client.list_topics` answers, asked in short turns, with a look after each at whether the reason that none
    comes is one that does not pass. `refusals` is the client's error_cb, `trouble` what it raises when its time is up.
    Raises that, or AccessError."""
    deadline, refusals.words = time.monotonic() + timeout, ""
    while True:
        left = deadline - time.monotonic()
        try:
            return client.list_topics(timeout=max(0.1, min(left, _TURN)))
        except trouble:
            client.poll(0)  # calls `refusals`
            if refusals.words:
                raise _login_refused(connection, refusals.words) from None
            for host, port in addresses(connection):
                with contextlib.suppress(OSError):
                    greet(connection, host, port, timeout=_TURN)
            if left <= _TURN:
                raise


def _login_refused(connection: KafkaConnection, words: str) -> AccessError:
    return AccessError(
        f"Kafka at {connection.servers} does not accept the login of {connection.sasl_username!r}: {words}.",
        hint="Look at DAYONE_KAFKA_SASL_USERNAME, DAYONE_KAFKA_SASL_PASSWORD (or _FILE), DAYONE_KAFKA_SASL_MECHANISM.",
    )


def _answer(connected: socket.socket, timeout: float) -> bytes:
    """How the answer to the question begins; nothing where none comes in time."""
    connected.settimeout(min(timeout, 2.0))
    connected.sendall(_QUESTION)
    try:
        return connected.recv(2)
    except TimeoutError:
        return b""


def _refuse_alert(answer: bytes, where: str) -> None:
    if answer == _ALERT:
        raise AccessError(
            f"Kafka at {where} expects TLS, and {_PROTOCOL} is without it.",
            hint=f"Set {_PROTOCOL} to SSL or SASL_SSL, or take the address of a listener in the clear.",
        )


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "the connection was closed").replace("_", " ").lower()


def _hint(error: ssl.SSLError) -> str:
    if "CERTIFICATE" in (error.reason or ""):
        return "It asks for a certificate of ours: DAYONE_KAFKA_SSL_CERTIFICATE_FILE and DAYONE_KAFKA_SSL_KEY_FILE."
    return f"Is this a listener without TLS? Then {_PROTOCOL} is PLAINTEXT or SASL_PLAINTEXT."
