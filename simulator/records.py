"""Record batches: Arrow columns of values and keys as the bytes that a Kafka partition stores, thousands at a time.

May know Kafka's format of records and nothing of what they say, of brokers or of clients. Two ways were weighed: a
client call per record (librdkafka: 4.3 microseconds of processor time per record in all threads, most of it allocating,
queueing and freeing each of them), or whole batches made in columns (1.4 of the same, more than half of it zstd). A
broker cannot tell the difference.

Format: Kafka protocol guide, "Record Batch" (magic 2): a header of 61 bytes, then the compressed records. A record is
its length, attributes, timestamp delta, offset delta, key, value and headers; lengths and deltas are varints (zigzag).
"""

from __future__ import annotations

import functools
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.event import CONTENT_TYPE_HEADER
from simulator.views import Views, lengths, pick, viewed, views_of, with_views

#: The most bytes of values in one batch before compression; brokers refuse batches over 1 MB *after* it.
BATCH_BYTES = 1_000_000
ZSTD = 4
#: So many numbers, from 0 on, have their varints made once.
TABLE = 1 << 14
_BEFORE_CRC = struct.Struct(">qiib")
_AFTER_CRC = struct.Struct(">hiqqqhii")


@dataclass(frozen=True)
class RecordBatch:
    """`count` records of one partition, framed and compressed; `size` is the bytes of their values before that."""

    partition: int
    count: int
    size: int
    body: bytes


def record_batches(
    values: pa.Array, keys: pa.Array, partitions: npt.NDArray[np.int64], most_records: int = 1 << 16
) -> Iterator[RecordBatch]:
    """The records as batches, partition by partition, each in the order given; values and keys are views of bytes. The
    bytes are copied batch by batch, which fits the processor's cache. No value is longer than 1 MB."""
    order = np.argsort(partitions, kind="stable")
    of, ends = partitions[order], np.cumsum(lengths(values)[order])
    first = 0
    while first < len(order):
        of_partition = int(np.searchsorted(of, of[first], side="right"))
        before = int(ends[first - 1]) if first else 0
        fitting = int(np.searchsorted(ends, before + BATCH_BYTES, side="right"))
        last = min(of_partition, max(fitting, first + 1), first + most_records)
        rows, size = order[first:last], int(ends[last - 1]) - before
        body = _compressed(_framed(pick(values, rows), pick(keys, rows)))
        yield RecordBatch(int(of[first]), last - first, size, body)
        first = last


def _framed(values: pa.Array, keys: pa.Array) -> pa.Buffer:
    """The records one after the other: offset deltas count from 0, timestamps are all that of the batch. Every piece
    of every record is a view, and one copy joins them all."""
    count, suffix = len(values), _headers()
    size, key = lengths(values), lengths(keys)
    total = 2 + _width(np.arange(count)) + _width(key) + key + _width(size) + size + len(suffix)
    found = pa.concat_arrays([values, keys, viewed([suffix])])
    texts = views_of(found)
    pieces = np.empty((count, 7), dtype=texts.dtype)
    pieces[:, 0], pieces[:, 1] = _varints(total), _beginnings(count)[:count]
    pieces[:, 2], pieces[:, 3] = _varints(key), texts[count:-1]
    pieces[:, 4], pieces[:, 5], pieces[:, 6] = _varints(size), texts[:count], texts[-1]
    records = with_views(found, pieces.ravel()).cast(pa.binary())
    _, ends, data = records.buffers()
    return data.slice(0, int(np.frombuffer(ends, dtype=np.int32)[len(records)]))


def _compressed(data: pa.Buffer) -> bytes:
    return bytes(pa.Codec("zstd", compression_level=1).compress(data, asbytes=True))


@functools.cache
def _headers() -> bytes:
    """The content-type header, the same for every record."""
    name, value = CONTENT_TYPE_HEADER[0].encode(), CONTENT_TYPE_HEADER[1]
    return b"".join((_varint(1), _varint(len(name)), name, _varint(len(value)), value))


def _varint(number: int) -> bytes:
    return bytes(_encoded(np.array([number]))[0].as_py())


def _width(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return 1 + (numbers > 0x3F) + (numbers > 0x1FFF).astype(np.int64) + (numbers > 0xFFFFF)


def _varints(numbers: npt.NDArray[np.int64]) -> Views:
    """Non-negative numbers below 2**27 as varints: those of most records stand in a table."""
    table = _small_varints()
    return table[numbers] if int(numbers.max(initial=0)) < len(table) else views_of(viewed(_encoded(numbers)))


@functools.cache
def _small_varints() -> Views:
    return views_of(viewed(_encoded(np.arange(TABLE))))


def _beginnings(count: int) -> Views:
    """What follows the length, for `count` records at least: attributes, timestamp delta (both 0), offset delta."""
    return _beginnings_of(1 << max(13, (count - 1).bit_length()))


@functools.cache
def _beginnings_of(count: int) -> Views:
    zero = np.zeros(count, dtype=np.int64)
    return views_of(viewed(_encoded(zero, zero, np.arange(count))))


def _encoded(*columns: npt.NDArray[np.int64]) -> pa.Array:
    """Non-negative numbers below 2**27 as varints, the columns side by side."""
    count = len(columns[0])
    digits = np.zeros((count, 4 * len(columns)), dtype=np.uint8)
    used = np.zeros(digits.shape, dtype=bool)
    for place, numbers in enumerate(columns):
        width = _width(numbers)
        for digit in range(int(width.max())):
            here = width > digit
            more = (width > digit + 1).astype(np.int64) << 7
            digits[:, 4 * place + digit] = ((numbers << 1) >> (7 * digit)) & 0x7F | more
            used[:, 4 * place + digit] = here
    ends = np.zeros(count + 1, dtype=np.int32)
    np.cumsum(used.sum(axis=1), out=ends[1:])
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(ends), pa.py_buffer(digits[used])])


class ReadyRecords:
    """One batch on its way, as kafka-python's sender asks for it (in place of its `MemoryRecordsBuilder`): full from
    the start, given its producer id and sequence number when it is drained, and the same bytes at every retry."""

    def __init__(self, batch: RecordBatch) -> None:
        self._batch = batch
        self._bytes: bytes | None = None
        self.producer_id = self.producer_epoch = self.base_sequence = -1

    def append(self, *_: object) -> None:
        """Nothing fits in any more."""

    def is_full(self) -> bool:
        """There is nothing to wait for."""
        return True

    def next_offset(self) -> int:
        """The number of records."""
        return self._batch.count

    def size_in_bytes(self) -> int:
        """The length of `buffer`."""
        return _BEFORE_CRC.size + 4 + _AFTER_CRC.size + len(self._batch.body)

    def set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int, _: bool) -> None:
        """What makes a retry recognisable to the broker."""
        if self._bytes is not None:
            raise ValueError("a batch that has been sent keeps its sequence number")
        self.producer_id, self.producer_epoch, self.base_sequence = producer_id, producer_epoch, base_sequence

    def close(self) -> None:
        """Write the header. Repeating it does nothing."""
        if self._bytes is not None:
            return
        from crc32c import crc32c

        now, count, body = time.time_ns() // 1_000_000, self._batch.count, self._batch.body
        after = _AFTER_CRC.pack(
            ZSTD, count - 1, now, now, self.producer_id, self.producer_epoch, self.base_sequence, count
        )
        length = 4 + 1 + 4 + len(after) + len(body)  # from the partition's leader epoch to the end
        checksum = struct.pack(">I", crc32c(body, crc32c(after)))
        self._bytes = b"".join((_BEFORE_CRC.pack(0, length, -1, 2), checksum, after, body))

    def buffer(self) -> bytes:
        """The batch as it goes over the wire."""
        assert self._bytes is not None
        return self._bytes
