"""JSON text in bulk: Arrow string columns joined element by element, so that a million messages cost no Python loop.

Every function returns (or takes) an Arrow string array that holds JSON fragments. Two ways were weighed: a msgspec
struct per message (0.5 M messages/s, one Python object each), or columns of fragments. Columns are three times as fast
and the text of a price, a title or a date is made once, not once a message.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

DAY_MS = 86_400_000


def quoted(values: Sequence[str]) -> pa.Array:
    """A look-up table of JSON strings."""
    return pa.array([json.dumps(value, ensure_ascii=False) for value in values], pa.string())


def bare(values: Sequence[str]) -> pa.Array:
    """A look-up table of JSON string contents without the quotes around them."""
    return pa.array([json.dumps(value, ensure_ascii=False)[1:-1] for value in values], pa.string())


def numbers(values: Sequence[float]) -> pa.Array:
    """A look-up table of JSON numbers."""
    return pa.array([json.dumps(value) for value in values], pa.string())


def look_up(table: pa.Array, rows: npt.NDArray[Any]) -> pa.Array:
    return table.take(pa.array(rows))


def integers(values: npt.NDArray[Any]) -> pa.Array:
    return pc.cast(pa.array(values), pa.string())


_PADDED = {width: pa.array([f"{n:0{width}d}" for n in range(10**width)], pa.string()) for width in (2, 3)}


def fixed(values: npt.NDArray[Any], digits: int) -> pa.Array:
    """Integers as decimal fractions: 1234 with 2 digits is 12.34. Values must not be negative."""
    whole, part = np.divmod(values, 10**digits)
    return join(integers(whole), ".", look_up(_PADDED[digits], part))


def floats(values: npt.NDArray[np.float64]) -> pa.Array:
    """Finite doubles, shortest text that reads back as the same number."""
    return pc.cast(pa.array(values), pa.string())


@functools.lru_cache(maxsize=4096)
def constant(piece: str) -> pa.Scalar:
    """A constant as Arrow wants it; made once, because Arrow looks for pandas each time it converts a string."""
    return pa.scalar(piece, pa.string())


def join(*pieces: pa.Array | str) -> pa.Array:
    """Join columns and constants row by row."""
    columns = [constant(piece) if isinstance(piece, str) else piece for piece in pieces]
    return pc.binary_join_element_wise(*columns, constant(""))


def lists(items: pa.Array, counts: npt.NDArray[Any]) -> pa.Array:
    """`[a,b,...]` for each row; `items` holds the fragments of all rows one after the other, `counts` how many each."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int32)
    np.cumsum(counts, out=offsets[1:])
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), items), constant(","))
    return join("[", joined, "]")


_SECONDS: list[pa.Array] = []


class Calendar:
    """Instants (milliseconds after `start`) as RFC 3339 text in UTC with milliseconds."""

    def __init__(self, start: datetime) -> None:
        self._start = np.int64(round(start.timestamp() * 1000))
        if not _SECONDS:
            clock = [f"{h:02d}:{m:02d}:{s:02d}." for h in range(24) for m in range(60) for s in range(60)]
            _SECONDS.append(pa.array(clock, pa.string()))
            _SECONDS.append(pa.array([f"{n:03d}Z" for n in range(1000)], pa.string()))

    def text(self, instants: npt.NDArray[np.int64]) -> pa.Array:
        """Each instant as text."""
        return join(*self.pieces(instants)) if len(instants) else pa.array([], pa.string())

    def pieces(self, instants: npt.NDArray[np.int64]) -> tuple[pa.Array, pa.Array, pa.Array]:
        """The columns that `text` would join: date, time of the day, milliseconds. There is at least one instant."""
        day, within = np.divmod(instants + self._start, DAY_MS)
        second, milli = np.divmod(within, 1000)
        first = int(day.min())
        days = np.arange(first, int(day.max()) + 1).astype("datetime64[D]")
        names = pa.array([f"{text}T" for text in np.datetime_as_string(days).tolist()], pa.string())
        return look_up(names, day - first), look_up(_SECONDS[0], second), look_up(_SECONDS[1], milli)
