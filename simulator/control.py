"""Live steering over Kafka: commands on `dayone.control` reach a run, each is answered on the reply topic.

FastStream's home in this room. May know how messages are read and written and nothing of what they do: that is
`steering.py`. Commands written before a run listens have no effect on it; a message that is no command is refused
with the reason, and nothing that is written to the topic can end the listening.

Two ways considered for reading commands: a consumer group, where the broker remembers what was read, and partitions
assigned by hand from their ends. A group takes seconds to join, and would hand a command to one shard of several or
replay an old one to a new run; so partitions it is, and every shard reads every command.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from personas.connection import KafkaConnection
from personas.topics import CONTROL, CONTROL_REPLIES, shared_topics
from simulator.steering import Command, Reply, Steering, answer, parse_command

__all__ = ["Command", "Reply", "Steering", "control_broker", "listen", "listening", "parse_command", "send_command"]

if TYPE_CHECKING:
    from faststream.confluent import KafkaBroker
    from faststream.confluent.helpers.config import ConfluentConfig
    from faststream.confluent.subscriber.usecase import DefaultSubscriber

#: How long one command or reply is tried to be written; what the end of a listener may have to wait for.
ANSWER_TIMEOUT_MS = 5_000
#: How long a broker that does not answer is waited for at the start, in seconds.
CONNECT_TIMEOUT = 10.0


def control_broker(connection: KafkaConnection, steering: Steering, ends: dict[int, int]) -> KafkaBroker:
    """A FastStream broker, not started, that answers the commands from offset `ends[partition]` on."""
    broker = _broker(connection)

    @_subscriber(broker, CONTROL, ends)
    async def on_command(body: bytes) -> None:
        reply = answer(body, steering)
        if reply is not None:
            await broker.publish(reply, CONTROL_REPLIES, key=steering.run_id.encode())

    return broker


async def listen(connection: KafkaConnection, steering: Steering, *, ready: Callable[[], None] | None = None) -> None:
    """Answer commands until cancelled; `ready` is called once commands written from then on are heard.

    Raises BrokerError when the broker is away at the start; later it is waited for.
    """
    ends = await asyncio.to_thread(_ends, connection, CONTROL, CONNECT_TIMEOUT)
    broker = control_broker(connection, steering, ends)
    async with broker:
        await broker.start()
        if ready is not None:
            ready()
        await asyncio.Event().wait()


@contextlib.contextmanager
def listening(connection: KafkaConnection, steering: Steering) -> Iterator[None]:
    """Listen in a thread of its own as long as the block runs. Raises BrokerError when the broker is away."""
    started = threading.Event()
    failure: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def main() -> None:
        task = asyncio.ensure_future(listen(connection, steering, ready=started.set))
        running.append((asyncio.get_running_loop(), task))
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def run() -> None:
        try:
            asyncio.run(main())
        except Exception as error:  # noqa: BLE001 (handed over to the thread that waits)
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="dayone-control", daemon=True)
    thread.start()
    started.wait()
    if failure:
        thread.join()
        raise failure[0]
    try:
        yield
    finally:
        loop, task = running[0]
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(task.cancel)
        thread.join()


def send_command(connection: KafkaConnection, command: Command, *, timeout: float = 5.0) -> list[Reply]:
    """Write one command and return the replies of the runs that heard it, an empty list when none did.

    With a `run_id` the first reply ends the waiting; else all that come within `timeout` seconds are collected,
    but none later than half a second after another. Raises BrokerError when the broker is away.
    """
    return asyncio.run(_exchange(connection, command, timeout))


async def _exchange(connection: KafkaConnection, command: Command, timeout: float) -> list[Reply]:
    command = command if command.id else command.model_copy(update={"id": uuid.uuid4().hex})
    ends = await asyncio.to_thread(_ends, connection, CONTROL_REPLIES, min(CONNECT_TIMEOUT, max(2.0, timeout)))
    broker = _broker(connection)
    replies: asyncio.Queue[Reply] = asyncio.Queue()

    @_subscriber(broker, CONTROL_REPLIES, ends)
    async def on_reply(body: bytes) -> None:
        with contextlib.suppress(ValidationError):
            reply = Reply.model_validate_json(body)
            if reply.id == command.id:
                replies.put_nowait(reply)

    collected: list[Reply] = []
    async with broker:
        await broker.start()
        try:
            async with asyncio.timeout(timeout):
                await broker.publish(command, CONTROL, key=(command.run_id or "").encode())
                collected.append(await replies.get())
                while command.run_id is None:
                    async with asyncio.timeout(0.5):
                        collected.append(await replies.get())
        except TimeoutError:
            pass
    return collected


def _ends(connection: KafkaConnection, topic: str, timeout: float) -> dict[int, int]:
    from simulator.tail import end_offsets
    from simulator.topic_admin import provision

    specs = [spec for spec in shared_topics() if spec.name in (CONTROL, CONTROL_REPLIES)]
    partitions = provision(connection, specs, timeout=timeout)[topic]
    return end_offsets(connection, topic, range(partitions), timeout=timeout)


def _subscriber(broker: KafkaBroker, topic: str, ends: dict[int, int]) -> DefaultSubscriber:
    """A subscriber that reads every partition from the given offset, gets bytes as they came, and commits nothing."""
    from faststream import AckPolicy
    from faststream.confluent import KafkaMessage, TopicPartition
    from faststream.confluent.message import FAKE_CONSUMER

    async def parse(message: Any) -> KafkaMessage:
        # FastStream's own parser decodes the headers, and raises where one is not UTF-8; none is needed here.
        body = message.value() or b""
        return KafkaMessage(raw_message=message, body=body, headers={}, consumer=FAKE_CONSUMER, is_manual=True)

    async def as_it_came(message: KafkaMessage) -> bytes:
        return bytes(message.body)

    return broker.subscriber(
        partitions=[TopicPartition(topic, number, offset, declare=False) for number, offset in ends.items()],
        group_id="dayone-control",  # required by the client, never joined
        ack_policy=AckPolicy.MANUAL,
        fetch_max_wait_ms=50,
        parser=parse,
        decoder=as_it_came,
    )


def _broker(connection: KafkaConnection) -> KafkaBroker:
    from faststream.confluent import KafkaBroker

    options: dict[str, Any] = {
        **connection.client_options(),
        "message.timeout.ms": ANSWER_TIMEOUT_MS,
        "allow.auto.create.topics": False,  # a replaced broker must not make them with its own idea of partitions
    }
    return KafkaBroker(
        options.pop("bootstrap.servers").split(","),
        client_id="dayone-control",
        config=cast("ConfluentConfig", options),
        graceful_timeout=2.0,
        logger=_quiet_logger(),
        log_level=logging.DEBUG,
    )


#: FastStream's warning that it does what it is told.
_NO_TOPICS_MADE = "Auto create topics is disabled. Make sure the topics exist."


@functools.cache
def _quiet_logger() -> logging.Logger:
    """`dayone.kafka.control`, where only warnings and errors that are not about connections leave the debug level."""
    from simulator.client_log import ClientLog

    logger = logging.getLogger("dayone.kafka.control")

    def demote(record: logging.LogRecord) -> bool:
        facility = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        noise = facility in ClientLog.CONNECTION_NOISE | ClientLog.SETTINGS_NOISE or record.msg == _NO_TOPICS_MADE
        if noise or record.levelno <= logging.INFO:
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logger.isEnabledFor(record.levelno)

    logger.addFilter(demote)
    return logger
