"""`python -m tests.faults.victim MOMENT AFTER DELAY dayone-arguments...`: Dayone that kills itself with SIGKILL.

The moments are in places that no signal from outside hits on purpose: within a transaction, between two commits, in the
middle of a chunk. They are reached from here, by replacing what the program calls, so that the product knows nothing of
them. Statements are watched where DuckDB gets them, not by the names of our own functions. DELAY in seconds is for the
moments that race with something; what these hit differs, and that is the purpose.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

#: Moment → what it means, in the words of the report.
SINK_MOMENTS = {
    "decoded": "in the middle of a batch: decoded, nothing written",
    "rows": "inside the transaction: rows written, offsets not",
    "uncommitted": "inside the transaction: rows and offsets written",
    "committing": "while DuckDB commits",
    "committed": "between the DuckDB commit and the Kafka commit",
    "acknowledged": "right after the Kafka commit was sent",
}
SIMULATOR_MOMENTS = {"chunk": "in the middle of a chunk, part of it with the client"}

_OFFSETS_WRITTEN = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE)\b.*\boffsets\b", re.IGNORECASE | re.DOTALL)
_COMMIT = re.compile(r"\s*COMMIT\b", re.IGNORECASE)


def die(*_: object) -> NoReturn:
    """As if the machine's power had gone, for this process."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class WatchedConnection:
    """A DuckDB connection that sees the statements go by. Only transactions that write offsets are counted."""

    def __init__(self, real: Any, moment: str, after: int, delay: float) -> None:
        self._real, self._moment, self._after, self._delay = real, moment, after, delay
        self._batches = 0
        self._in_batch = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *rest: Any, **named: Any) -> Any:
        """See DuckDB."""
        if _OFFSETS_WRITTEN.match(statement) and not self._in_batch:
            self._in_batch = True
            self._batches += 1
            self._strike("rows")
        if not (_COMMIT.match(statement) and self._in_batch):
            return self._real.execute(statement, *rest, **named)
        self._in_batch = False
        self._strike("uncommitted")
        if self._moment == "committing" and self._batches == self._after:
            threading.Timer(self._delay, die).start()
            self._real.execute(statement)
            time.sleep(self._delay)
            die()
        return self._real.execute(statement, *rest, **named)

    def _strike(self, moment: str) -> None:
        if self._moment == moment and self._batches == self._after:
            die()


def watch_statements(moment: str, after: int, delay: float) -> None:
    """Make every DuckDB connection a watched one."""
    import duckdb

    connect = duckdb.connect

    def watched(*arguments: Any, **named: Any) -> Any:
        connection = connect(*arguments, **named)
        connection.execute("SET checkpoint_threshold = '4MB'")  # so that commits write checkpoints too
        return WatchedConnection(connection, moment, after, delay)

    duckdb.connect = watched  # type: ignore[assignment]


def on_call(number: int, real: Callable[..., Any], before: bool, delay: float) -> Callable[..., Any]:
    """`real`, but its `number`th call ends the process: before anything, or `delay` seconds after it was made."""
    calls = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and before:
            die()
        result = real(*arguments, **named)
        if calls == number:
            threading.Timer(delay, die).start()
        return result

    return counted


def break_chunk(after: int, delay: float) -> None:
    """Die when `after` events have been handed to the client: part of the chunk is, the rest is not."""
    from simulator.producer import EventProducer

    real = EventProducer.send
    left = after

    def send(
        self: EventProducer, topic: str, values: Sequence[bytes], keys: Sequence[bytes], partitions: Sequence[int]
    ) -> None:
        nonlocal left
        if topic.endswith(".events"):
            if len(values) >= left:
                real(self, topic, values[:left], keys[:left], partitions[:left])
                time.sleep(delay)
                die()
            left -= len(values)
        real(self, topic, values, keys, partitions)

    EventProducer.send = send  # type: ignore[method-assign]


def arm(moment: str, after: int, delay: float) -> None:
    """Prepare the end."""
    if moment in ("rows", "uncommitted", "committing"):
        watch_statements(moment, after, delay)
    elif moment == "decoded":
        from sinks.ingest import Decoder

        Decoder.decode_piece = on_call(after, Decoder.decode_piece, before=False, delay=0.0)  # type: ignore[method-assign]
    elif moment in ("committed", "acknowledged"):
        from sinks.subscriber import KafkaSource

        calls = on_call(after, KafkaSource.acknowledge, moment == "committed", delay)
        KafkaSource.acknowledge = calls  # type: ignore[method-assign]
    elif moment == "chunk":
        break_chunk(after, delay)
    else:
        raise SystemExit(f"no such moment: {moment}")


def main() -> None:
    """Arm, and be Dayone."""
    moment, after, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    arm(moment, after, delay)
    sys.argv = ["dayone", *sys.argv[4:]]
    import dayone

    dayone.main()


if __name__ == "__main__":
    main()
