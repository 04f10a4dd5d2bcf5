"""What the simulator needs of a producer: the contract, without any client. Tested by `tests/contracts/producer.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.errors import DeliveryError
from simulator.views import viewed

#: A column of bytes: Python's, or Arrow's (strings or binary, as views, with a dictionary or without), which a producer
#: takes without a Python object each.
Bytes: TypeAlias = "Sequence[bytes] | pa.Array"
Numbers: TypeAlias = Sequence[int] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class ProducerCounts:
    """Where a producer stands: `produced` records and `bytes` of their values were taken over by the client,
    `failed` of them given up after all retries, `queued` not yet acknowledged. `latency_seconds` is the mean time
    from hand-over to acknowledgement in the last second or so."""

    produced: int = 0
    failed: int = 0
    bytes: int = 0
    queued: int = 0
    latency_seconds: float = 0.0


class MessageProducer(ABC):
    """What the simulator needs of a producer. One thread sends and flushes; `stop` and `counts` are for any."""

    @abstractmethod
    def send(self, topic: str, values: Bytes, keys: Bytes, partitions: Numbers) -> None:
        """Hand over one chunk: record i has `values[i]`, `keys[i]` and goes to `partitions[i]`, in this order.

        Waits while the buffer is full. Every record gets the content-type header of the event contract. Raises
        ValueError when the sequences differ in length, and DeliveryError when this chunk or an earlier one could
        not be delivered; part of the chunk may then have been sent.
        """

    @abstractmethod
    def flush(self, timeout: float = 60.0) -> None:
        """Return when everything sent has been acknowledged. Raises DeliveryError when a record was given up, or
        when some are still unacknowledged after `timeout` seconds."""

    @abstractmethod
    def stop(self, grace: float = 5.0) -> None:
        """From now on no send or flush waits longer than `grace` seconds. Safe in a signal handler."""

    @abstractmethod
    def close(self) -> None:
        """Release the client; what has not been flushed is dropped. Repeating it does nothing."""

    @abstractmethod
    def counts(self) -> ProducerCounts:
        """Where the producer stands now."""

    def __enter__(self) -> MessageProducer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()


def check_lengths(values: Bytes, keys: Bytes, partitions: Numbers) -> None:
    """ValueError when a chunk's columns do not belong together."""
    if not len(values) == len(keys) == len(partitions):
        raise ValueError(f"{len(values)} values, {len(keys)} keys and {len(partitions)} partitions do not match")


def python_bytes(column: Bytes) -> list[bytes]:
    """The column as Python objects."""
    return viewed(column).to_pylist() if isinstance(column, pa.Array) else list(column)


def refuse_closed() -> NoReturn:
    """What a closed producer says to everything."""
    raise DeliveryError("The producer is closed.")
