"""The quick way through a fetch of messages: fields are found by position, column by column, not message by message.

The messages of one producer are alike: the same names in the same order, the same run, the same generator; only the id,
the type, the time, the user and the session differ, and the data. So the layout is learned from the first message of a
fetch, and all messages are checked against it at once with numpy. Two ways considered: an object per message costs 3.7
microseconds, most of it for making and freeing small objects; this costs two thirds of that, and refuses what it does
not know, which is then read the ordinary way. It never decides that a message is bad.

Why what passes is right. A message that passes is, byte for byte, the beginning of the first message with other texts
in its five fields, then a data text, then `}`. The first message was read the ordinary way; a text without quotes,
backslashes and control characters is a JSON string as it stands; and each data text is decoded by itself (in
ingest.py). So the whole is the JSON object that the ordinary way would have found. Knows bytes and arrays; no Kafka, no
vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: The fields of an envelope that differ from message to message. What is of no session has no last one.
FIELDS = frozenset({"id", "type", "time", "subject", "sessionid"})

Places = npt.NDArray[np.int64]
_DATA = b',"data":'
_QUOTE, _DOT, _BACKSLASH, _OPENING, _CLOSING = (ord(sign) for sign in '".\\{}')
#: Reading many bytes at a time may look this far past the end.
_MARGIN = bytes(32)
#: So many bytes are looked through at a time for the end of a field: most fields are shorter.
_WINDOW = 32
_MOST_DIGITS = 9
#: Places in a buffer are 32 bits wide.
_MOST_BYTES = 2**30


@dataclass(frozen=True)
class Layout:
    """`fields` in their order; `fixed`, the bytes before each and before data."""

    fields: tuple[str, ...]
    fixed: tuple[bytes, ...]


@dataclass(frozen=True)
class Cut:
    """Where everything is in a buffer of messages: of each field, and of the data, the begin and the end by message."""

    buffer: bytearray
    fields: dict[str, tuple[Places, Places]]
    data: tuple[Places, Places]

    def __len__(self) -> int:
        return len(self.data[0])

    def text(self, name: str) -> pa.Array:
        """A field as a column of strings. ValueError where a text is not itself a JSON string between quotes."""
        column = _strings(self.buffer, *self.fields[name])
        inside = np.frombuffer(column.buffers()[2] or b"", np.uint8)
        if len(inside) and (inside.min() < ord(" ") or (inside == _BACKSLASH).any()):
            raise ValueError("an escape or a control character")
        return column

    def data_text(self) -> pa.Array:
        """The data as a column of strings. That all is UTF-8 is for `lines` to find."""
        return _views(self.buffer, *self.data).cast(pa.string())

    def lines(self, order: Places) -> tuple[memoryview, Places]:
        """The data of these messages in this order, a line each, and where in it each line ends. ArrowInvalid where a
        text is not UTF-8."""
        begin, end = self.data[0][order], self.data[1][order] + 1
        column = _strings(self.buffer, begin, end)
        return memoryview(column.buffers()[2] or b""), np.cumsum(end - begin)

    def sequences(self) -> pa.Array:
        """The number after the session in each id. ValueError where an id is not `<session>.<sequence>`."""
        (begin, end), (session, session_end) = self.fields["id"], self.fields["sessionid"]
        length = session_end - session
        digits = end - begin - length - 1
        octets, words = np.frombuffer(self.buffer, np.uint8), _words(self.buffer)
        if (digits < 1).any() or (digits > _MOST_DIGITS).any() or (octets[begin + length] != _DOT).any():
            raise ValueError("an id that is not <session>.<sequence>")
        for place in range(0, int(length.max()), 8):
            rows = np.flatnonzero(length > place)
            differs = words[begin[rows] + place] ^ words[session[rows] + place]
            past = np.clip(8 - (length[rows] - place), 0, 7).astype(np.uint64)  # bytes that are past the session
            if (differs << (past * np.uint64(8))).any():
                raise ValueError("an id of another session")
        first = end - digits
        if ((octets[first] == ord("0")) & (digits > 1)).any():
            raise ValueError("a sequence with leading zeros")
        number = np.zeros(len(begin), np.int32)
        for place in range(int(digits.max())):
            within = place < digits
            digit = octets[np.minimum(first + place, end - 1)].astype(np.int32) - ord("0")
            if ((digit < 0) | (digit > 9))[within].any():
                raise ValueError("a sequence that is not a number")
            number = np.where(within, number * 10 + digit, number)
        return pa.array(number, pa.int32())


def learn(value: bytes) -> Layout | None:
    """The layout of a message that is known to be good; None where it is not one that `cut` can use."""
    head = value[: value.find(_DATA) + len(_DATA)]
    parts = head.split(b'"')
    fields: list[str] = []
    fixed: list[bytes] = []
    names: set[bytes] = set()
    begun, place = 0, 1
    while place + 1 < len(parts):
        name = parts[place]
        if name in names:
            return None
        names.add(name)
        if parts[place + 1] != b":" or name == b"data":
            place += 2
            continue
        if name.decode("ascii", "replace") in FIELDS:
            fields.append(name.decode())
            fixed.append(b'"'.join([*([b""] if begun else []), *parts[begun : place + 2], b""]))
            begun = place + 3
        place += 4
    fixed.append(b'"'.join([b"", *parts[begun:]]))
    nested = head.count(b"{") != 1 or b"[" in head  # or in a text: then it is read the ordinary way, which is no harm
    if not FIELDS - {"sessionid"} <= set(fields) or nested or b"\\" in head or not head.endswith(_DATA):
        return None
    return Layout(tuple(fields), tuple(fixed))


def cut(layout: Layout, values: Sequence[bytes | None], max_bytes: int) -> Cut:
    """Where everything is in messages of one layout. ValueError, IndexError or TypeError where one has another, or is
    longer than `max_bytes`."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]  # None is a TypeError
    if lengths.max() > max_bytes or lengths.sum() > _MOST_BYTES:
        raise ValueError("too long")
    buffer = bytearray(b"\n").join([*values, _MARGIN])  # type: ignore[list-item]
    ends = np.cumsum(lengths + 1) - 1
    starts = ends - lengths
    octets = np.frombuffer(buffer, np.uint8)
    fields: dict[str, tuple[Places, Places]] = {}
    reached = starts
    for name, fixed in zip(layout.fields, layout.fixed, strict=False):
        _check(buffer, reached, fixed)
        begin = reached + len(fixed)
        reached = _next_quotes(buffer, begin)
        fields[name] = begin, reached
    _check(buffer, reached, layout.fixed[-1])
    data = reached + len(layout.fixed[-1])
    if (ends - data < 3).any():
        raise ValueError("another layout")
    if (octets[data] != _OPENING).any() or ((octets[ends - 1] != _CLOSING) | (octets[ends - 2] != _CLOSING)).any():
        raise ValueError("another layout")
    octets[ends - 1] = ord("\n")  # what ends the message may as well end the line of its data, see `Cut.lines`
    return Cut(buffer, fields, (data, ends - 1))


def _next_quotes(buffer: bytearray, places: Places) -> Places:
    """The first quote from each place on. IndexError where there is none. To look through all of the bytes for all
    quotes costs five times as much: most are in the data, and so many places no longer fit the processor's cache."""
    windows: Any = np.ndarray((len(buffer) - _WINDOW + 1,), np.dtype(f"V{_WINDOW}"), buffer, 0, (1,))
    found, rows = places.copy(), np.arange(len(places))
    while len(rows):
        quotes = windows[found[rows]].view(np.uint8).reshape(-1, _WINDOW) == _QUOTE
        first = quotes.argmax(axis=1)
        missing = ~quotes[np.arange(len(rows)), first]
        found[rows] += np.where(missing, _WINDOW, first)
        rows = rows[missing]
    return found


def _words(buffer: bytearray) -> npt.NDArray[np.uint64]:
    """The eight bytes from each place on, as one number; without copying."""
    return np.ndarray((len(buffer) - 7,), np.dtype("<u8"), buffer, 0, (1,))


def _check(buffer: bytearray, places: Places, expected: bytes) -> None:
    """ValueError or IndexError unless these bytes stand at all of the places."""
    size = len(expected)
    pieces: Any = np.ndarray((len(buffer) - size + 1,), np.dtype(f"V{size}"), buffer, 0, (1,))
    if pieces[places].tobytes() != expected * len(places):
        raise ValueError("another layout")


def _strings(buffer: bytearray, begin: Places, end: Places) -> pa.Array:
    """Pieces of a buffer as strings. ArrowInvalid where one is not UTF-8."""
    strings = _views(buffer, begin, end).cast(pa.string())
    strings.validate(full=True)
    return strings


def _views(buffer: bytearray, begin: Places, end: Places) -> pa.Array:
    """Pieces of a buffer, not looked into.

    Made as views (length, first four bytes, number of the buffer, place in it; up to twelve bytes inline), which take
    no copying in Python: see the columnar format of Apache Arrow, "Variable-size Binary View Layout".
    """
    length = end - begin
    quarters: Any = np.ndarray((len(buffer) - 3,), np.dtype("<u4"), buffer, 0, (1,))
    views = np.zeros((len(begin), 4), np.uint32)
    views[:, 0], views[:, 1], views[:, 3] = length, quarters[begin], begin
    short = np.flatnonzero(length <= 12)
    if len(short):
        masks = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF], np.uint32)
        for column in range(3):
            kept = np.clip(length[short] - 4 * column, 0, 4)
            views[short, column + 1] = quarters[begin[short] + 4 * column] & masks[kept]
    return pa.Array.from_buffers(pa.string_view(), len(begin), [None, pa.py_buffer(views), pa.py_buffer(buffer)])
