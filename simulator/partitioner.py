"""Which partition a user's messages go to, and so which shard plays the user.

The hash is Kafka's own (murmur2, as in the Java client's default partitioner), computed for a whole population at
once: any other producer that keys by user id puts its records beside ours. A shard i of n owns the partitions p with
p % n == i, so each partition is written by one process, in order, and its end tells how far that process came.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from personas.errors import SettingsError

_SEED = np.uint32(0x9747B28C)
_M = np.uint32(0x5BD1E995)


def murmur2(keys: npt.NDArray[np.bytes_]) -> npt.NDArray[np.uint32]:
    """Kafka's murmur2 of byte strings that all have the same length (the item size of the array)."""
    length = keys.dtype.itemsize
    raw = np.frombuffer(np.ascontiguousarray(keys).tobytes(), dtype=np.uint8).reshape(len(keys), length)
    words = length // 4
    with np.errstate(over="ignore"):
        h = np.full(len(keys), _SEED ^ np.uint32(length), dtype=np.uint32)
        for word in range(words):
            k = raw[:, 4 * word : 4 * word + 4].copy().view("<u4")[:, 0].astype(np.uint32) * _M
            k = (k ^ (k >> np.uint32(24))) * _M
            h = (h * _M) ^ k
        rest = raw[:, 4 * words :].astype(np.uint32)
        for place in range(rest.shape[1] - 1, -1, -1):
            h ^= rest[:, place] << np.uint32(8 * place)
        if rest.shape[1]:
            h *= _M
        h = (h ^ (h >> np.uint32(13))) * _M
        return np.asarray(h ^ (h >> np.uint32(15)))


def partition_of(keys: npt.NDArray[np.bytes_], partitions: int) -> npt.NDArray[np.int64]:
    """The partition of each key."""
    return (murmur2(keys) & np.uint32(0x7FFFFFFF)).astype(np.int64) % partitions


class Shard:
    """Shard `index` of `count`, over topics with so many partitions."""

    def __init__(self, index: int, count: int, partitions: int) -> None:
        if not 0 <= index < count:
            raise SettingsError(f"shard {index}/{count} does not exist", hint=f"Use 0/{count} to {count - 1}/{count}.")
        if count > partitions:
            raise SettingsError(
                f"{count} shards, but the topics have {partitions} partitions: some shards would have no users",
                hint=f"Use at most {partitions} shards, or more partitions from the start (--partitions).",
            )
        self.index, self.count, self.partitions = index, count, partitions

    @property
    def owned(self) -> tuple[int, ...]:
        """The partitions that this shard writes."""
        return tuple(range(self.index, self.partitions, self.count))

    def keeps(self, ids: npt.NDArray[np.bytes_]) -> Any:
        """Which of these users the shard plays."""
        return partition_of(ids, self.partitions) % self.count == self.index

    @classmethod
    def parse(cls, text: str, partitions: int) -> Shard:
        """`i/n`, counted from 0."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdigit() and count.isdigit() and int(count) > 0):
            raise SettingsError(f"--shard {text!r} is not a shard", hint="Write i/n, counted from 0: 0/4 to 3/4.")
        return cls(int(index), int(count), partitions)
