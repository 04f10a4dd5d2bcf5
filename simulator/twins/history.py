"""What a session has been so far, as numbers: the inputs of every network, for many sessions at once.

The same code follows real sessions while a model is learnt and fictional ones while they are drawn, so both see the
same inputs. A history keeps the last events one by one, all events as counts that fade at three speeds (the slowest
never forgets: long-range effects are linear in it), the first event, gaps, the recent items and their groups, the
calendar, and what holds for the whole session (`static`).

Weighed against contexts of growing length with back-off (as in PPM): those need a count for every combination, lose
whatever lies more than a few events back, and cannot use a gap or a count as context. Knows no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from simulator.twins.descent import F32
from simulator.twins.fixed_point import INPUT_BITS, INPUT_LIMIT, rounded
from simulator.twins.log import I64

I32 = npt.NDArray[np.int32]
#: Distinct items that a session remembers, most recent first.
RECENT = 24
#: Events that get inputs of their own; rarer ones share the last.
MOST_EVENTS = 48
FADING = (0.5, 0.85)
PLACES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 50)
DAY = 86_400_000_000
NONE = -1
#: Parts of the log's span that may differ in everything; in between, linearly.
SEASONS = 6
#: Days until a burst, as steps.
UNTIL = (0.0, 0.25, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 21, 30)
#: Up to so many events, each pair of the last two has an input of its own.
MOST_PAIRED = 40


@dataclass(frozen=True)
class Shape:
    """Sizes that inputs depend on. column [E]: the input column of each event, of `columns`. modes: ways of choosing an
    item. group [I+1]: group of each item (the last: rare), of `groups`. hours: whether times have a time of day.
    static: numbers that hold for a whole session. span [2]: whole hours around the log. bursts [B]: ends of bursts.
    item_code [I+1]: code of each item, from 1; 0 for those that are met too seldom to say something by themselves."""

    column: I64
    columns: int
    modes: int
    group: I64
    groups: int
    hours: bool
    static: int
    span: I64
    bursts: I64
    item_code: I64

    @property
    def paired(self) -> bool:
        """Whether pairs of events have inputs."""
        return 1 < self.columns <= MOST_PAIRED

    @property
    def pairs(self) -> int:
        """How many codes pairs of events have."""
        return self.columns**2 + 1 if self.paired else 1

    @property
    def codes(self) -> int:
        """How many codes a history has: those of pairs, and those of its last item."""
        return self.pairs + int(self.item_code.max(initial=0)) + 1

    @property
    def inputs(self) -> int:
        """How many numbers describe a history."""
        events = (3 + 1 + len(FADING) + 1) * self.columns
        items = self.modes + (2 * self.groups if self.groups > 1 else 0) + 3
        times = SEASONS + (len(UNTIL) + 1) * len(self.bursts) + (6 + 4 + 7 if self.hours else 0)
        return events + len(PLACES) + 2 + 7 + items + times + self.static

    @property
    def first_place(self) -> int:
        """The first of the inputs that say how many events there were, see PLACES; others lie behind them."""
        behind = (self.groups if self.groups > 1 else 0) + 7 * self.hours + len(UNTIL) * len(self.bursts)
        return self.inputs - behind - len(PLACES)


@cache
def _calendar() -> tuple[F32, F32]:
    """[1440, 6] by the minute of the day, [60, 4] by that of the hour: harmonics."""
    angles = 2 * np.pi * np.arange(1440) / 1440
    by_day = np.stack([f(n * angles) for n in (1, 2, 3) for f in (np.sin, np.cos)], axis=1)
    by_hour = np.stack([f(24 * n * angles[:60]) for n in (1, 2) for f in (np.sin, np.cos)], axis=1)
    return by_day.astype(np.float32), by_hour.astype(np.float32)


@cache
def _logs() -> F32:
    """log1p of 0, 1, 2, ..."""
    return np.log1p(np.arange(4096)).astype(np.float32)


def _one_hot(codes: I64, size: int) -> F32:
    return np.eye(size, dtype=np.float32)[codes]


class History:
    """The histories of n sessions, all of which have had `steps` events. Arrays have one row for each session."""

    def __init__(self, shape: Shape, start: I64, static: F64) -> None:
        count = len(start)
        self.shape, self.steps, self.time, self.static = shape, 0, start.copy(), static.astype(np.float32)
        self._begun = start.copy()
        self._last = np.full((count, 3), NONE)
        self._first = np.full(count, NONE)
        self._faded = np.zeros((count, len(FADING), shape.columns), np.float32)
        self._counts = np.zeros((count, shape.columns), np.int16)
        self._gap, self._mean_gap = np.zeros(count), np.zeros(count)
        self._mode = np.full(count, NONE)
        self._group = np.full(count, NONE)
        self._groups = np.zeros((count, shape.groups), np.float32)
        self.recent: I32 = np.full((count, RECENT), NONE, dtype=np.int32)
        self.items_before: I32 = np.full((count, 3), NONE, dtype=np.int32)
        self.distinct = np.zeros(count, dtype=np.int64)

    def keep(self, rows: npt.NDArray[np.generic]) -> None:
        """Go on with these rows only."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[rows])

    def inputs(self, more: int = 0) -> F32:
        """[n, shape.inputs + more], on the grid of `fixed_point`; the last columns are left to the caller."""
        shape, count = self.shape, len(self.time)
        table = np.zeros((count, shape.inputs + more), np.float32)
        rows = np.arange(count)
        at = self._numbers(table)
        for place in range(3):
            if self.steps > place:
                table[rows, at + self._last[:, place]] = 1.0
            at += shape.columns
        if self.steps:
            table[rows, at + self._first] = 1.0
            table[rows, at + shape.columns + self._mode] = 1.0
        at += shape.columns + shape.modes
        table[:, at + np.searchsorted(PLACES, self.steps, side="right") - 1] = 1.0
        at += len(PLACES)
        if shape.groups > 1:
            seen = np.flatnonzero(self._group >= 0)
            table[seen, at + self._group[seen]] = 1.0
            at += shape.groups
        if shape.hours:
            table[rows, at + (self.time // DAY + 3) % 7] = 1.0
            at += 7
        if len(shape.bursts):
            step = np.searchsorted(UNTIL, (shape.bursts - self.time[:, None]) / DAY, side="left")
            known = np.concatenate([np.zeros((1, len(UNTIL)), np.float32), np.eye(len(UNTIL), dtype=np.float32)])[step]
            table[:, at : at + known.shape[1] * known.shape[2]] = known.reshape(count, -1)
        return table

    def _numbers(self, table: F32) -> int:
        """Fill the first columns, those that are more than yes or no; how many they are."""
        shape, count = self.shape, len(self.time)
        elapsed = np.log1p(np.maximum(self.time - self._begun, 0) / 1e6) * 0.2
        spread, passed = _logs()[self.distinct], _logs()[self.steps]
        parts: list[npt.NDArray[np.generic]] = [
            self._faded.reshape(count, -1), _logs()[self._counts], self.static,
            np.stack([
                np.full(count, passed), np.full(count, min(self.steps, 200) / 25), self._gap, self._mean_gap, elapsed,
                self._gap == 0, np.maximum(self._gap - 1.4, 0.0), np.maximum(self._gap - 2.2, 0.0),
                np.maximum(elapsed - 1.6, 0.0), spread, spread - passed, self.distinct == 0,
            ], axis=1),
        ]  # fmt: skip
        if shape.groups > 1:
            parts.append(self._groups)
        season = (self.time - shape.span[0]) / max(int(shape.span[1] - shape.span[0]), 1) * (SEASONS - 1)
        parts.append(np.maximum(1.0 - np.abs(np.clip(season, 0, SEASONS - 1)[:, None] - np.arange(SEASONS)), 0.0))
        if len(shape.bursts):
            parts.append(np.log1p(np.maximum(shape.bursts - self.time[:, None], 0) / 1e6) * 0.2)
        if shape.hours:
            minute = self.time // 60_000_000 % 1440
            by_day, by_hour = _calendar()
            parts += [by_day[minute], by_hour[minute % 60]]
        at = 0
        for part in parts:
            table[:, at : at + part.shape[1]] = part
            at += part.shape[1]
        rounded(table[:, :at], INPUT_BITS, INPUT_LIMIT)
        return at

    def pair(self) -> I64:
        """[n, 1]: the last two events as one code of `shape.pairs`; 0 with fewer, or where there are too many."""
        if not self.shape.paired:
            return np.zeros((len(self.time), 1), dtype=np.int64)
        before, last = self._last[:, 1], self._last[:, 0]
        return np.where(before < 0, 0, before * self.shape.columns + last + 1)[:, None]

    def codes(self) -> I64:
        """[n, 2]: the pair, and the last item, as codes of `shape.codes`."""
        item = self.items_before[:, 0]
        code = np.where(item < 0, 0, self.shape.item_code[np.minimum(item, len(self.shape.item_code) - 1)])
        return np.concatenate([self.pair(), self.shape.pairs + code[:, None]], axis=1)

    def pair_with(self, event: I64) -> I64:
        """[n, 1]: the same of the last event and the next."""
        if not self.shape.paired:
            return np.zeros((len(event), 1), dtype=np.int64)
        last = self._last[:, 0]
        return np.where(last < 0, 0, last * self.shape.columns + self.shape.column[event] + 1)[:, None]

    def add(self, event: I64, mode: I64, item: I64, time: I64) -> None:
        """Every session has one more event: `item` is a code, or NONE; `mode` is how it was chosen."""
        shape = self.shape
        column = shape.column[event]
        rows = np.arange(len(event))
        if self.steps:
            self._gap = np.log1p(np.maximum(time - self.time, 0) / 1e6) * 0.2
            self._mean_gap = self._gap if self.steps == 1 else 0.6 * self._mean_gap + 0.4 * self._gap
        else:
            self._first = column.copy()
        self.time = time
        self._last = np.concatenate([column[:, None], self._last[:, :2]], axis=1)
        for number, rate in enumerate(FADING):
            self._faded[:, number] *= rate
            self._faded[rows, number, column] += 1.0 - rate
        self._counts[rows, column] += 1
        self._mode = mode
        self.steps += 1
        self._see(item)

    def _see(self, item: I64) -> None:
        has = item >= 0
        if not has.any():
            return
        group = self.shape.group[np.minimum(item, len(self.shape.group) - 1)]
        rows = np.flatnonzero(has)
        self._group[rows] = group[rows]
        self._groups[rows] *= 0.8
        self._groups[rows, group[rows]] += 0.2
        here, item = self.recent[rows], item[rows].astype(np.int32)
        before = self.items_before[rows]
        self.items_before[rows] = np.concatenate([item[:, None], before[:, :2]], axis=1)
        found = here == item[:, None]
        known = found.any(axis=1)
        place = np.where(known, found.argmax(axis=1), RECENT - 1)
        moved = np.concatenate([item[:, None], here[:, :-1]], axis=1)
        self.recent[rows] = np.where(np.arange(RECENT) <= place[:, None], moved, here)
        self.distinct[rows] += ~known
