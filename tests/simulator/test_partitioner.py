"""Partitions are those of Kafka's own clients, and shards share them out."""

from __future__ import annotations

import numpy as np
import pytest

from personas.errors import SettingsError
from simulator.partitioner import Shard, murmur2, partition_of

#: The test vectors of Kafka's Java client (UtilsTest.testMurmur2).
VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "expected"), VECTORS.items())
def test_murmur2_is_that_of_kafka(key: bytes, expected: int) -> None:
    assert int(murmur2(np.array([key]))[0]) == expected & 0xFFFFFFFF


def test_shards_own_each_partition_once() -> None:
    shards = [Shard.parse(f"{index}/3", 8) for index in range(3)]
    assert sorted(p for shard in shards for p in shard.owned) == list(range(8))
    keys = np.array([f"u{i:04d}".encode() for i in range(500)])
    kept = np.array([shard.keeps(keys) for shard in shards])
    assert (kept.sum(axis=0) == 1).all()
    partition = partition_of(keys, 8)
    assert all(set(partition[kept[n]]) <= set(shard.owned) for n, shard in enumerate(shards))


@pytest.mark.parametrize("text", ["", "1", "a/b", "2/2", "-1/2", "0/0", "0/9"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        Shard.parse(text, 8)
