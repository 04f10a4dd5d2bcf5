"""Record batches: read back by a parser that is not ours, at every border of the format."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pyarrow as pa
import pytest
from crc32c import crc32c

from personas.event import CONTENT_TYPE_HEADER
from simulator import records
from simulator.records import ReadyRecords, record_batches
from simulator.views import viewed

#: Lengths around which a varint gets longer (64, 8,192, 1,048,576), and records with them.
BORDERS = (0, 1, 63, 64, 65, 8191, 8192, 8193)


def read(batch: records.RecordBatch) -> list[tuple[bytes, bytes]]:
    """Keys and values as kafka-python's own reader finds them, after Arrow has taken the compression off."""
    with warnings.catch_warnings():  # the package reads its own schemas by a deprecated function, at import
        warnings.simplefilter("ignore", DeprecationWarning)
        from kafka.record.default_records import DefaultRecordBatch

    ready = ReadyRecords(batch)
    ready.set_producer_state(7, 1, 42, False)
    ready.close()
    whole = ready.buffer()
    assert len(whole) == ready.size_in_bytes()
    assert struct.unpack_from(">I", whole, 17)[0] == crc32c(whole[21:])
    plain = pa.input_stream(pa.BufferReader(batch.body), compression="zstd").read()
    header = bytearray(whole[:61])
    struct.pack_into(">i", header, 8, 49 + len(plain))
    struct.pack_into(">h", header, 21, 0)
    found = list(DefaultRecordBatch(bytes(header) + plain))
    assert [record.offset for record in found] == list(range(batch.count))
    assert {tuple(record.headers) for record in found} == {(CONTENT_TYPE_HEADER,)}
    parsed = DefaultRecordBatch(whole)
    assert (parsed.producer_id, parsed.producer_epoch, parsed.base_sequence) == (7, 1, 42)
    assert parsed.records_count == batch.count
    return [(record.key, record.value) for record in found]


def test_lengths_at_the_borders_of_varints() -> None:
    values = [b"v" * length for length in (*BORDERS, 999_999)]
    keys = [b"k" * length for length in (*BORDERS, 5)]
    made = list(record_batches(viewed(values), viewed(keys), np.zeros(len(values), dtype=np.int64)))
    assert [row for batch in made for row in read(batch)] == list(zip(keys, values, strict=True))
    assert sum(batch.size for batch in made) == sum(map(len, values))


def test_offsets_at_the_borders_of_varints() -> None:
    values = [b"%d" % number for number in range(9000)]
    (batch,) = record_batches(viewed(values), viewed([b"k"] * 9000), np.zeros(9000, dtype=np.int64))
    assert [value for _, value in read(batch)] == values


def test_each_partition_keeps_its_order_in_batches_of_bounded_size() -> None:
    generator = np.random.default_rng(1)
    partitions = generator.integers(0, 5, 4000) * 3
    values = [b"%d " % number + b"x" * 700 for number in range(4000)]
    found: dict[int, list[bytes]] = {}
    for batch in record_batches(viewed(values), viewed([b"k"] * 4000), partitions, most_records=600):
        assert batch.count <= 600 and batch.size <= records.BATCH_BYTES
        found.setdefault(batch.partition, []).extend(value for _, value in read(batch))
    assert found == {p: [values[row] for row in np.flatnonzero(partitions == p)] for p in (0, 3, 6, 9, 12)}


def test_arrow_columns_are_taken_as_they_are() -> None:
    values = pa.array(["skipped", "one", "zwölf", ""], pa.string()).slice(1)
    keys = pa.array([b"a", b"b", b"c", b"d"], pa.binary()).slice(1)
    (batch,) = record_batches(viewed(values), viewed(keys), np.zeros(3, dtype=np.int64))
    assert read(batch) == [(b"b", b"one"), (b"c", "zwölf".encode()), (b"d", b"")]


def test_a_column_with_a_dictionary() -> None:
    values = pa.DictionaryArray.from_arrays(pa.array([2, 0, 2]), pa.array(["a", "unused", "ccc"]))
    (batch,) = record_batches(viewed(values), viewed([b"k"] * 3), np.zeros(3, dtype=np.int64))
    assert batch.size == 7
    assert [value for _, value in read(batch)] == [b"ccc", b"a", b"ccc"]


def test_no_records_no_batch() -> None:
    assert list(record_batches(viewed([]), viewed([]), np.zeros(0, dtype=np.int64))) == []


def test_a_retry_is_the_same_bytes() -> None:
    (batch,) = record_batches(viewed([b"v"]), viewed([b"k"]), np.zeros(1, dtype=np.int64))
    ready = ReadyRecords(batch)
    ready.set_producer_state(1, 0, 0, False)
    ready.close()
    first = ready.buffer()
    ready.close()
    assert ready.buffer() is first
    with pytest.raises(ValueError, match="keeps its sequence number"):
        ready.set_producer_state(2, 0, 0, False)
