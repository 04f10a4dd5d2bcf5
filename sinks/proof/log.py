"""An event log as arrays: what every measure is computed on.

A log comes as an Arrow table with the columns user_id, session_id, ts (UTC) and event, if there are any item_id,
persona and step, and any others, which are left alone. Rows of a session are in the order of ts, then step, then the
table. Several logs are encoded with one vocabulary, so that a code means the same event or item in each of them.
Knows Arrow tables and arrays; no file, no model, no measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from personas.errors import ProofError

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Strings = npt.NDArray[np.object_]

NEEDED = ("user_id", "session_id", "ts", "event")
#: The columns that measures look at where a log has them.
OPTIONAL = ("item_id", "persona", "step")


@dataclass(frozen=True)
class Words:
    """The names behind codes: events, items and personas in alphabetical order."""

    events: tuple[str, ...]
    items: tuple[str, ...]
    personas: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Log:
    """Sessions by user, a user's in the order of their beginning; `start` has one entry more than there are sessions.

    event, item, time: one entry per row (item -1 is none; time in microseconds since 1970, UTC). user: the row of
    `users` for each session; persona: a code for each session, -1 where it has none. `weight`: what each session counts
    for where a model learns from it; None is 1 for each."""

    words: Words
    event: I32
    item: I32
    time: I64
    start: I64
    user: I64
    users: Strings
    persona: I32
    weight: npt.NDArray[np.float64] | None = None

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self.start) - 1

    @property
    def rows(self) -> int:
        """How many events there are."""
        return len(self.event)

    @cached_property
    def length(self) -> I64:
        """Events of each session."""
        return np.diff(self.start)

    @cached_property
    def session(self) -> I64:
        """The session of each row."""
        return np.repeat(np.arange(self.sessions), self.length)

    @cached_property
    def position(self) -> I64:
        """The place of each row in its session, from 0."""
        return np.arange(self.rows) - self.start[:-1][self.session]

    @cached_property
    def began(self) -> I64:
        """When each session began."""
        return self.time[self.start[:-1]]

    @cached_property
    def ended(self) -> I64:
        """When the last event of each session happened."""
        return self.time[self.start[1:] - 1]

    @cached_property
    def gap(self) -> npt.NDArray[np.float64]:
        """Seconds since the event before in the session; NaN for the first."""
        gap = np.diff(self.time, prepend=self.time[:1]) / 1e6
        gap[self.start[:-1]] = np.nan
        return gap

    @cached_property
    def number(self) -> I64:
        """How many sessions the user had before each session."""
        first = np.r_[True, self.user[1:] != self.user[:-1]]
        place = np.arange(self.sessions)
        return place - np.maximum.accumulate(np.where(first, place, 0))

    @property
    def returns(self) -> bool:
        """Whether any user has more than one session."""
        return self.sessions > len(self.users)

    @cached_property
    def timed(self) -> bool:
        """Whether times are finer than days."""
        return bool(self.rows and np.any(self.time % 86_400_000_000))

    def take(self, sessions: Mask) -> Log:
        """The sessions of a mask, and their users."""
        rows = np.repeat(sessions, self.length)
        kept, user = np.unique(self.user[sessions], return_inverse=True)
        start = np.r_[0, np.cumsum(self.length[sessions])].astype(np.int64)
        return Log(
            self.words, self.event[rows], self.item[rows], self.time[rows], start, user.astype(np.int64),
            self.users[kept], self.persona[sessions], None if self.weight is None else self.weight[sessions],
        )  # fmt: skip

    def of_users(self, users: Mask) -> Log:
        """All sessions of the users of a mask."""
        return self.take(users[self.user])


def encode(tables: Mapping[str, pa.Table]) -> dict[str, Log]:
    """The logs of several tables, in one vocabulary. ProofError names the log, the column and what is wrong with it."""
    ready = {name: _checked(name, table) for name, table in tables.items()}
    words = Words(
        _names(ready, "event"), _names(ready, "item_id"), _names(ready, "persona"),
    )  # fmt: skip
    return {name: _encoded(table, words) for name, table in ready.items()}


def encode_with(words: Words, name: str, table: pa.Table) -> Log:
    """The log of a table in a vocabulary that is there already: rows of unknown events are left out, unknown items are
    none. ProofError as of `encode`."""
    ready = _checked(name, table)
    ready = ready.filter(pc.is_in(ready["event"], value_set=pa.array(words.events, pa.string())))
    if not ready.num_rows:
        raise ProofError(f"The {name} log has none of the events of the others.", hint="Do they come of one product?")
    return _encoded(ready, words)


def concatenated(*logs: Log) -> Log:
    """The sessions of several logs of one vocabulary; users of different logs stay different users."""
    weighted = any(log.weight is not None for log in logs)
    weights = [np.ones(log.sessions) if log.weight is None else log.weight for log in logs]
    offsets = np.cumsum([0, *(len(log.users) for log in logs)])
    lengths = np.concatenate([log.length for log in logs])
    return Log(
        logs[0].words,
        np.concatenate([log.event for log in logs]),
        np.concatenate([log.item for log in logs]),
        np.concatenate([log.time for log in logs]),
        np.r_[0, np.cumsum(lengths)].astype(np.int64),
        np.concatenate([log.user + offset for log, offset in zip(logs, offsets, strict=False)]),
        np.concatenate([log.users for log in logs]),
        np.concatenate([log.persona for log in logs]),
        np.concatenate(weights) if weighted else None,
    )


def _checked(name: str, table: pa.Table) -> pa.Table:
    missing = [column for column in NEEDED if column not in table.column_names]
    if missing:
        raise ProofError(
            f"The {name} log has no column {', '.join(missing)}; its columns: {', '.join(table.column_names)}.",
            hint="A log has user_id, session_id, ts and event, and item_id where events are about items; "
            "--map says how they are called.",
        )
    if not table.num_rows:
        raise ProofError(f"The {name} log is empty.", hint="Give a log with events.")
    casts: dict[str, Any] = {"ts": pa.timestamp("us", tz="UTC"), "step": pa.int64()}
    columns = {}
    for column in (*NEEDED, *(column for column in OPTIONAL if column in table.column_names)):
        values = table[column].combine_chunks()
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        try:
            columns[column] = values.cast(casts.get(column, pa.string()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ProofError(
                f"The {name} log: {column} is {values.type}, expected {casts.get(column, pa.string())} ({error}).",
                hint="Convert it first, or name another column with --map.",
            ) from error
        if column in NEEDED and columns[column].null_count:
            raise ProofError(
                f"The {name} log: {columns[column].null_count:,} rows have no {column}.", hint="Leave such rows out."
            )
    return pa.table(columns)


def _names(tables: Mapping[str, pa.Table], column: str) -> tuple[str, ...]:
    found: set[str] = set()
    for table in tables.values():
        if column in table.column_names:
            found.update(pc.unique(table[column]).drop_null().to_pylist())
    return tuple(sorted(found))


def _codes(table: pa.Table, column: str, names: tuple[str, ...]) -> I32:
    if column not in table.column_names:
        return np.full(table.num_rows, -1, np.int32)
    found = pc.index_in(table[column].combine_chunks(), value_set=pa.array(names, pa.string()))
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int32)


def _encoded(table: pa.Table, words: Words) -> Log:
    users = table["user_id"].combine_chunks().dictionary_encode()
    sessions = table["session_id"].combine_chunks().dictionary_encode()
    user = users.indices.to_numpy().astype(np.int64)
    visit = user * (len(sessions.dictionary) + 1) + sessions.indices.to_numpy()
    _, visit = np.unique(visit, return_inverse=True)
    time = table["ts"].combine_chunks().cast(pa.int64()).to_numpy()
    step = table["step"].fill_null(0).to_numpy() if "step" in table.column_names else np.zeros(len(time), np.int64)
    began = np.full(int(visit.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(began, visit, time)
    order = np.lexsort((step, time, visit, began[visit], user))
    visit = visit[order]
    first = np.flatnonzero(np.r_[True, visit[1:] != visit[:-1]])
    return Log(
        words,
        _codes(table, "event", words.events)[order],
        _codes(table, "item_id", words.items)[order],
        time[order],
        np.r_[first, len(time)].astype(np.int64),
        user[order][first],
        np.asarray(users.dictionary.to_pylist(), dtype=object),
        _codes(table, "persona", words.personas)[order][first],
    )
