"""An event log as arrays: what a model is fitted on, and what drawn sessions are written as.

A log is an Arrow table with the columns `user_id`, `session_id`, `ts` (timestamp[us, UTC]), `event`, `item_id` (null:
none), and whatever else an event has; the rows of a session in their order. Knows no file and no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

I64 = npt.NDArray[np.int64]
#: The columns that every log has; all others are properties of events.
COLUMNS = ("user_id", "session_id", "ts", "event", "item_id")


@dataclass(frozen=True)
class Log:
    """n events of s sessions, session by session. By event: `event` and `item` (codes; -1: no item), `time` in
    microseconds since 1970 UTC, `session` (row of the session). By session: `first` (row of its first event; [s+1],
    the last is n), `user` (code). `words` are the texts of the codes; `more` further columns as Arrow arrays."""

    event: I64
    item: I64
    time: I64
    session: I64
    first: I64
    user: I64
    words: Mapping[str, tuple[str, ...]]
    users: int
    more: Mapping[str, pa.Array] = field(default_factory=dict)

    @property
    def lengths(self) -> I64:
        """Events of each session."""
        return np.diff(self.first)


def log_of(table: pa.Table) -> Log:
    """The arrays of a log. Sessions come in the order in which they begin in the table, events in that of the rows;
    names are numbered alphabetically, so that the order of rows decides nothing."""
    table = table.combine_chunks()
    session, _ = codes_of(table["session_id"], ordered=False)
    order = np.argsort(session, kind="stable")
    session = session[order]
    first = np.flatnonzero(np.diff(session, prepend=-1))
    user, users = codes_of(table["user_id"], ordered=False)
    event, events = codes_of(table["event"], ordered=True)
    item, items = codes_of(table["item_id"], ordered=True)
    time = np.asarray(table["ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
    rows = pa.array(order)
    names = [name for name in table.column_names if name not in (*COLUMNS, "step")]
    return Log(
        event=event[order],
        item=item[order],
        time=time[order],
        session=session,
        first=np.append(first, len(order)),
        user=user[order][first],
        words={"event": events, "item": items},
        users=len(users),
        more={name: table[name].combine_chunks().take(rows) for name in names},
    )


def table_of(log: Log, user_ids: Any, session_ids: Any) -> pa.Table:
    """The table of a log; the ids are those of its users (by code) and of its sessions (by row)."""
    rows, lengths = pa.array(log.session), np.diff(log.first)
    step = np.arange(len(log.event)) - np.repeat(log.first[:-1], lengths)
    columns: dict[str, Any] = {
        "user_id": pa.array(user_ids, pa.string()).take(pa.array(log.user)).take(rows),
        "session_id": pa.array(session_ids, pa.string()).take(rows),
        "ts": pa.array(log.time).cast(pa.timestamp("us", "UTC")),
        "event": _texts(log.words["event"], log.event),
        "item_id": _texts(log.words["item"], log.item),
        "step": pa.array(step.astype(np.int32)),
    }
    return pa.table({**columns, **log.more})


def codes_of(column: pa.ChunkedArray | pa.Array, *, ordered: bool) -> tuple[I64, tuple[str, ...]]:
    """The code of each row (-1: null) and the texts of the codes, in alphabetical order or that of the rows."""
    encoded = pc.dictionary_encode(column.cast(pa.string()))
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # no rows
        encoded = pa.array([], pa.string()).dictionary_encode()
    words = encoded.dictionary.to_pylist()
    codes = np.asarray(encoded.indices.cast(pa.int64()).fill_null(-1), dtype=np.int64)
    if ordered:
        order = sorted(range(len(words)), key=words.__getitem__)
        place = np.empty(len(words) + 1, dtype=np.int64)
        place[order] = np.arange(len(words))
        place[-1] = -1
        codes, words = place[codes], [words[number] for number in order]
    return codes, tuple(words)


def _texts(words: tuple[str, ...], codes: I64) -> pa.Array:
    return pa.array(list(words), pa.string()).take(pa.array(codes, mask=codes < 0))
