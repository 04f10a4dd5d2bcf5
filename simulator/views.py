"""Columns of texts as Arrow's views: picked and put in order by sixteen bytes each, wherever the text itself is.

A view is the length of a text and where it stands (or, up to twelve bytes, the text itself): see the columnar format of
Apache Arrow, "Variable-size Binary View Layout". Two ways were weighed: to copy the texts at every step (from types to
the order of time, from there to partitions, from there to batches), or views until the one copy that joins them. To
pick a text of 500 bytes costs half a microsecond the first way and a hundredth of that as a view. Arrow itself picks no
views (`take`), so numpy does. Knows no messages.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: A numpy array of views, as opaque pieces of sixteen bytes.
Views: TypeAlias = npt.NDArray[np.void]
_VIEW = np.dtype("V16")


def viewed(column: Any) -> pa.Array:
    """Bytes or strings as views of bytes: a sequence of bytes, or Arrow's in any form. Arrow's are not copied."""
    if isinstance(column, pa.DictionaryArray):
        return pick(viewed(column.dictionary), column.indices.to_numpy())
    if not isinstance(column, pa.Array):
        column = pa.array(column, pa.binary())
    return column.cast(pa.binary_view())


def views_of(column: pa.Array) -> Views:
    """The views of a column, to be looked at."""
    buffer = column.buffers()[1]
    whole = np.frombuffer(buffer, dtype=_VIEW) if buffer is not None else np.zeros(0, dtype=_VIEW)
    return whole[column.offset : column.offset + len(column)]


def pick(column: pa.Array, rows: npt.NDArray[Any]) -> pa.Array:
    """The given rows of a column of views, in this order."""
    return with_views(column, views_of(column)[rows])


def with_views(column: pa.Array, views: Views) -> pa.Array:
    """Other views into the texts of a column."""
    return pa.Array.from_buffers(column.type, len(views), [None, pa.py_buffer(views), *column.buffers()[2:]])


def lengths(column: pa.Array) -> npt.NDArray[np.int64]:
    """The number of bytes of each row of a column of views."""
    return np.ascontiguousarray(views_of(column)).view(np.int32).reshape(-1, 4)[:, 0].astype(np.int64)


def alone(column: pa.Array) -> pa.Array:
    """The same texts, copied away from others that stood beside them."""
    return column.cast(pa.binary()).cast(pa.binary_view())
