"""JSON text in bulk: columns joined element by element, so that a million messages cost no Python loop.

Every function returns (or takes) columns of JSON fragments, as views (see `views`). Ways that were weighed, for a
message of thirty fragments: a msgspec struct per message (2 microseconds, one Python object each); Arrow's strings,
picked from tables and joined by `binary_join_element_wise` (0.45, every byte copied twice); or views of all fragments
side by side, which one copy joins (0.1). The text of a price, a title or a date is made once, not once a message.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from simulator.views import pick, views_of, with_views

DAY_MS = 86_400_000
#: What a message is joined of: columns of fragments, constants, and several of them, one after the other.
Piece: TypeAlias = "pa.Array | str | tuple[Piece, ...]"
#: So many rows are joined at a time: their views fit the processor's cache.
_BLOCK = 8192
#: So many numbers, from 0 on, have their text made once.
_SMALL = 10_000


def fragments(values: Sequence[str] | pa.Array) -> pa.Array:
    """Texts as a column, or as a look-up table."""
    return pa.array(values, pa.string_view()) if not isinstance(values, pa.Array) else values.cast(pa.string_view())


def quoted(values: Sequence[str]) -> pa.Array:
    """A look-up table of JSON strings."""
    return fragments([json.dumps(value, ensure_ascii=False) for value in values])


def bare(values: Sequence[str]) -> pa.Array:
    """A look-up table of JSON string contents without the quotes around them."""
    return fragments([json.dumps(value, ensure_ascii=False)[1:-1] for value in values])


def numbers(values: Sequence[float]) -> pa.Array:
    """A look-up table of JSON numbers."""
    return fragments([json.dumps(value) for value in values])


def look_up(table: pa.Array, rows: npt.NDArray[Any]) -> pa.Array:
    return pick(table, rows)


def integers(values: npt.NDArray[Any]) -> pa.Array:
    if len(values) and int(values.min()) >= 0 and int(values.max()) < _SMALL:
        return look_up(_small_integers(), values)
    return fragments(pc.cast(pa.array(values), pa.string()))


@functools.cache
def _small_integers() -> pa.Array:
    return fragments(pc.cast(pa.array(np.arange(_SMALL)), pa.string()))


@functools.cache
def _padded(width: int, before: str = "", after: str = "") -> pa.Array:
    """A look-up table of numbers with leading zeros."""
    return fragments([f"{before}{n:0{width}d}{after}" for n in range(10**width)])


def fixed(values: npt.NDArray[Any], digits: int) -> Piece:
    """Integers as decimal fractions: 1234 with 2 digits is 12.34. Values must not be negative."""
    whole, part = np.divmod(values, 10**digits)
    return integers(whole), look_up(_padded(digits, "."), part)


def floats(values: npt.NDArray[np.float64]) -> pa.Array:
    """Finite doubles, shortest text that reads back as the same number."""
    return fragments(pc.cast(pa.array(values), pa.string()))


def join(*pieces: Piece, count: int | None = None) -> pa.Array:
    """Join columns and constants row by row. `count` is the number of rows where all pieces are constant."""
    flat = list(_flattened(pieces))
    columns = [piece for piece in flat if not isinstance(piece, str)]
    words = _constants(tuple(piece for piece in flat if isinstance(piece, str)))
    rows = len(columns[0]) if columns else count or 0
    found = pa.concat_arrays([*columns, words])
    views, constants = views_of(found), rows * len(columns)
    starts, places = [], [0, 0]  # where in `views` each piece begins, and how many came before it, of each sort
    for piece in flat:
        constant = isinstance(piece, str)
        starts.append(constants + places[1] if constant else rows * places[0])
        places[constant] += 1
    parts = []
    for first in range(0, rows, _BLOCK):
        last = min(first + _BLOCK, rows)
        block = np.empty((last - first, len(flat)), dtype=views.dtype)
        for column, (start, piece) in enumerate(zip(starts, flat, strict=True)):
            block[:, column] = views[start] if isinstance(piece, str) else views[start + first : start + last]
        parts.append(_copied(with_views(found, block.ravel()), slice(None, None, len(flat))))
    return pa.concat_arrays(parts) if parts else fragments([])


def _flattened(pieces: Sequence[Piece]) -> Iterator[pa.Array | str]:
    for piece in pieces:
        if isinstance(piece, tuple):
            yield from _flattened(piece)
        else:
            yield piece


@functools.lru_cache(maxsize=4096)
def _constants(words: tuple[str, ...]) -> pa.Array:
    return fragments(words)


def _copied(column: pa.Array, ends: slice | npt.NDArray[Any]) -> pa.Array:
    """The texts of a column side by side in memory of their own; `ends` picks those before which a row begins, and the
    end of the last one."""
    _, offsets, data = column.cast(pa.binary()).buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[: len(column) + 1][ends].copy()
    joined = pa.Array.from_buffers(pa.string(), len(bounds) - 1, [None, pa.py_buffer(bounds), data])
    return joined.cast(pa.string_view())


def lists(items: Sequence[pa.Array], counts: npt.NDArray[Any], before: str = "") -> pa.Array:
    """`[a,b,...]` for each row; `items` holds the fragments of all rows one after the other, `counts` how many each.
    An item is what stands in one place of all columns, joined, with `before` in front."""
    found = pa.concat_arrays([*items, _constants((f",{before}", f"[{before}", "]", "[]"))])
    views, width, total = views_of(found), len(items) + 1, len(items[0])
    comma, opening, closing, nothing = views[width * total - total :]
    rows, ends, some = np.arange(len(counts)), np.cumsum(counts), np.flatnonzero(counts)
    place = width * np.arange(total) + np.repeat(rows, counts)  # of what stands before each item
    pieces = np.empty(width * total + len(counts), dtype=views.dtype)
    pieces[place] = comma
    pieces[place[(ends - counts)[some]]] = opening
    for column in range(len(items)):
        pieces[place + column + 1] = views[column * total : (column + 1) * total]
    last = width * ends + rows
    pieces[last] = nothing
    pieces[last[some]] = closing
    return _copied(with_views(found, pieces), np.concatenate([[0], last + 1]))


class Calendar:
    """Instants (milliseconds after `start`) as RFC 3339 text in UTC with milliseconds."""

    def __init__(self, start: datetime) -> None:
        self._start = np.int64(round(start.timestamp() * 1000))

    def text(self, instants: npt.NDArray[np.int64]) -> pa.Array:
        """Each instant as text."""
        return join(*self.pieces(instants)) if len(instants) else fragments([])

    def pieces(self, instants: npt.NDArray[np.int64], before: str = "") -> tuple[pa.Array, pa.Array, pa.Array]:
        """The columns that `text` would join: date (with `before` in front), time of the day, milliseconds. There is at
        least one instant."""
        day, within = np.divmod(instants + self._start, DAY_MS)
        second, milli = np.divmod(within, 1000)
        first = int(day.min())
        days = np.arange(first, int(day.max()) + 1).astype("datetime64[D]")
        names = fragments([f"{before}{text}T" for text in np.datetime_as_string(days).tolist()])
        return look_up(names, day - first), look_up(_clock(), second), look_up(_padded(3, after="Z"), milli)


@functools.cache
def _clock() -> pa.Array:
    """All seconds of a day."""
    minutes, second = np.divmod(np.arange(86_400), 60)
    hour, minute = np.divmod(minutes, 60)
    return join(*(look_up(_padded(2, after=sign), part) for part, sign in ((hour, ":"), (minute, ":"), (second, "."))))
