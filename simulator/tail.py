"""What a topic already holds: the last message of each partition that somebody asks for, and where it ends.

This is how a run is resumed without saved state: the last session found in the topic is the last one played. May
know offsets and bytes; what a message means is the caller's `accept`. confluent-kafka is taken for it, with
partitions assigned by hand and no consumer group: it reads a million records a second and says where a partition
ends, which matters because the embedded broker answers a question for the latest offset with the *first* offset of
the last batch, plus one. So ends are found by reading up to them, and are never taken from the broker's word.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from personas.connection import KafkaConnection
from personas.errors import BrokerError
from personas.letters import is_replay
from personas.listener import Refusals, topics_of

if TYPE_CHECKING:
    from confluent_kafka import Consumer

#: How many records before the end are read in one go, growing until something is found.
STEPS = (1, 100, 1_000, 10_000, 100_000, 1_000_000)
#: How many values of a partition are kept until they are looked at, last first.
MOST_KEPT = 10_000
#: How many at a time where records are large.
STEPS_OF_LARGE = (1, 10, 100, 1_000)


def last_messages(
    connection: KafkaConnection,
    topic: str,
    partitions: Iterable[int],
    accept: Callable[[bytes], bool],
    *,
    timeout: float = 60.0,
) -> dict[int, bytes | None]:
    """Per partition the value of the last record for which `accept` is true, or None where there is none.

    Reads backwards in windows that grow, and looks at each record at most once, the last first: a run that wrote last
    costs a few records, one that is not there the whole partition. Records without a value are never accepted, nor are
    replayed dead letters, which stand behind what was written after them. Gaps left by compaction are stepped over.
    Raises BrokerError when the topic or the broker is not there, or after `timeout` seconds in all.
    """
    wanted = sorted(set(partitions))
    found: dict[int, bytes | None] = dict.fromkeys(wanted)
    with _reader(connection, timeout) as reader:
        ranges = {number: reader.range(topic, number) for number in wanted}
        stops: dict[int, int | None] = {number: None for number, (low, high) in ranges.items() if low < high}
        step = 0
        while stops:
            size = STEPS[min(step, len(STEPS) - 1)]
            starts = {
                number: max(ranges[number][0], (ranges[number][1] if stop is None else stop) - size)
                for number, stop in stops.items()
            }
            read: dict[int, list[bytes]] = {number: [] for number in starts}
            for number, _, _, value in reader.read(topic, starts, stops):
                if value is not None:
                    read[number].append(value)
                if len(read[number]) == MOST_KEPT:
                    found[number] = _last(read[number], accept, found[number])
                    read[number].clear()
            for number, values in read.items():
                found[number] = _last(values, accept, found[number])
            stops = {
                number: start for number, start in starts.items() if found[number] is None and start > ranges[number][0]
            }
            step += 1
    return found


def _last(values: list[bytes], accept: Callable[[bytes], bool], before: bytes | None) -> bytes | None:
    """The last that is accepted, or the one before. What lies before the last is not looked at."""
    return next((value for value in reversed(values) if accept(value)), before)


def windows_back(
    connection: KafkaConnection, topic: str, wanted: Callable[[bytes | None], bool], *, timeout: float = 60.0
) -> Generator[list[tuple[bytes, bytes]], None, None]:
    """The keys and values of a topic's only partition, for wanted keys: windows from the end backwards that grow, each
    in order. Deletions are left out. Reads no further than it is asked for; close it where that is not to the end.
    Raises BrokerError as `last_messages` does."""
    with _reader(connection, timeout) as reader:
        low, high = reader.range(topic, 0)
        stop: int | None = None
        for size in itertools.chain(STEPS_OF_LARGE, itertools.repeat(STEPS_OF_LARGE[-1])):
            end = high if stop is None else stop
            if end <= low:
                return
            start = max(low, end - size)
            read = reader.read(topic, {0: start}, {0: stop})
            yield [(key or b"", value) for _, _, key, value in read if value is not None and wanted(key)]
            stop = start


def check_login(connection: KafkaConnection, *, timeout: float) -> None:
    """Return when a broker has taken our name and password. AccessError when it refuses them, BrokerError when none
    answers within about `timeout` seconds."""
    from confluent_kafka import KafkaException

    with _reader(connection, timeout) as reader:
        try:
            topics_of(reader.consumer, connection, reader.refusals, KafkaException, timeout=timeout)
        except KafkaException as error:
            words = f"No Kafka broker answers at {connection.servers} within {timeout:g} s: {error.args[0].str()}."
            raise BrokerError(words) from None


def end_offsets(
    connection: KafkaConnection, topic: str, partitions: Iterable[int], *, timeout: float = 10.0
) -> dict[int, int]:
    """Per partition the offset that the next record will get. Raises BrokerError as `last_messages` does."""
    with _reader(connection, timeout) as reader:
        ranges = {number: reader.range(topic, number) for number in sorted(set(partitions))}
        ends = {number: high for number, (_, high) in ranges.items()}
        starts = {number: high - 1 for number, (low, high) in ranges.items() if low < high}
        for number, offset, *_ in reader.read(topic, starts, dict.fromkeys(starts)):
            ends[number] = max(ends[number], offset + 1)
    return ends


class _Reader:
    """A consumer without a group, and the moment at which patience ends."""

    def __init__(self, consumer: Consumer, servers: str, timeout: float) -> None:
        self.trouble = ""
        self.refusals = Refusals()
        self.consumer = consumer
        self._servers = servers
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    def range(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and the broker's idea of the end: past the end never, at the start only when empty. A partition
        that was made a moment ago, or whose leader has died, has none for a while: that is waited for."""
        from confluent_kafka import KafkaError, KafkaException, TopicPartition

        without_leader = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
        while True:
            left = max(0.1, self._deadline - time.monotonic())
            try:
                low, high = self.consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=left)
                return int(low), int(high)
            except KafkaException as error:
                self.consumer.poll(0)  # calls error_cb, which knows why
                if error.args[0].code() not in without_leader or time.monotonic() >= self._deadline:
                    raise self._failure(topic, error.args[0]) from error
            time.sleep(0.05)

    def read(
        self, topic: str, starts: dict[int, int], stops: dict[int, int | None]
    ) -> Iterator[tuple[int, int, bytes | None, bytes | None]]:
        """Partition, offset, key and value from each start up to each stop (None: the end), in order per partition."""
        from confluent_kafka import KafkaError, TopicPartition

        unfinished = set(starts)
        self.consumer.assign([TopicPartition(topic, number, start) for number, start in starts.items()])
        while unfinished:
            message: Any = self.consumer.poll(0.1)
            if message is None:
                if time.monotonic() > self._deadline:
                    raise self._failure(topic, f"nothing more came within {self._timeout:g} s")
                continue
            number, error = message.partition(), message.error()
            if error is None:
                stop = stops[number]
                if number in unfinished and (stop is None or message.offset() < stop):
                    value = None if is_replay(message.headers()) else message.value()
                    yield number, message.offset(), message.key(), value
                if stop is None or message.offset() + 1 < stop:
                    continue
            elif error.code() != KafkaError._PARTITION_EOF:
                raise self._failure(topic, error)
            unfinished.discard(number)
        self.consumer.unassign()

    def _failure(self, topic: str, words: object) -> BrokerError:
        text = str(words.str() if hasattr(words, "str") else words).rstrip(".")
        reason = self.refusals.words or self.trouble
        trouble = f" ({reason})" if reason else ""
        return BrokerError(
            f"The end of topic {topic} cannot be read from Kafka at {self._servers}: {text}{trouble}.",
            hint="See that the broker is up and the topic is there; topics are made when a run starts.",
        )


@contextmanager
def _reader(connection: KafkaConnection, timeout: float) -> Iterator[_Reader]:
    from confluent_kafka import Consumer

    from simulator.client_log import ClientLog

    def on_error(error: Any) -> None:
        reader.trouble = error.str()
        reader.refusals(error)

    consumer = Consumer(
        {
            **connection.client_options(),
            "client.id": "dayone-simulator-tail",
            "group.id": "dayone-simulator-tail",  # required by the client, never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "fetch.wait.max.ms": 20,  # an end is reported after this wait, and ends are what we look for
            "logger": ClientLog(logging.getLogger("dayone.kafka.tail")),
            "error_cb": on_error,
        }
    )
    reader = _Reader(consumer, connection.client_options()["bootstrap.servers"], timeout)
    try:
        yield reader
    finally:
        consumer.close()
