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

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
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
    static: numbers that hold for a whole session. span [2]: whole hours around the log. bursts [B]: ends of bursts."""

    column: I64
    columns: int
    modes: int
    group: I64
    groups: int
    hours: bool
    static: int
    span: I64
    bursts: I64

    @property
    def paired(self) -> bool:
        """Whether pairs of events have inputs."""
        return 1 < self.columns <= MOST_PAIRED

    @property
    def pairs(self) -> int:
        """How many codes pairs of events have."""
        return self.columns**2 + 1 if self.paired else 1

    @property
    def inputs(self) -> int:
        """How many numbers describe a history."""
        events = (3 + 1 + len(FADING) + 1) * self.columns
        items = self.modes + (2 * self.groups if self.groups > 1 else 0) + 3
        times = SEASONS + (len(UNTIL) + 1) * len(self.bursts) + (6 + 4 + 7 if self.hours else 0)
        return events + len(PLACES) + 2 + 7 + items + times + self.static


def calendar(time: I64) -> F64:
    """[n, 17]: three harmonics of the time of day and two of the hour, by tables of minutes, and the day of the week
    (Monday first)."""
    minute = (time // 60_000_000) % 1440
    angles = 2 * np.pi * np.arange(1440) / 1440
    table = np.stack([f(n * angles) for n in (1, 2, 3) for f in (np.sin, np.cos)], axis=1)
    within = np.stack([f(24 * n * angles[:60]) for n in (1, 2) for f in (np.sin, np.cos)], axis=1)
    return np.concatenate([table[minute], within[minute % 60], np.eye(7)[(time // DAY + 3) % 7]], axis=1)


class History:
    """The histories of n sessions, all of which have had `steps` events. Arrays have one row for each session."""

    def __init__(self, shape: Shape, start: I64, static: F64) -> None:
        count = len(start)
        self.shape, self.steps, self.time, self.static = shape, 0, start.copy(), static
        self._begun = start.copy()
        self._last = np.full((count, 3), NONE)
        self._first = np.full(count, NONE)
        self._faded = np.zeros((count, len(FADING), shape.columns))
        self._counts = np.zeros((count, shape.columns))
        self._gap, self._mean_gap = np.zeros(count), np.zeros(count)
        self._mode = np.full(count, NONE)
        self._groups = np.zeros((count, 2, shape.groups))
        self.recent: I32 = np.full((count, RECENT), NONE, dtype=np.int32)
        self.items_before: I32 = np.full((count, 3), NONE, dtype=np.int32)
        self.distinct = np.zeros(count, dtype=np.int64)

    def keep(self, rows: npt.NDArray[np.generic]) -> None:
        """Go on with these rows only."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[rows])

    def inputs(self) -> F64:
        """[n, shape.inputs]"""
        shape, count = self.shape, len(self.time)
        one = np.concatenate([np.eye(shape.columns), np.zeros((1, shape.columns))])
        place = np.zeros((count, len(PLACES)))
        place[:, np.searchsorted(PLACES, self.steps, side="right") - 1] = 1.0
        elapsed = np.log1p(np.maximum(self.time - self._begun, 0) / 1e6)
        passed = np.stack([np.full(count, np.log1p(self.steps)), np.full(count, min(self.steps, 200) / 20)], axis=1)
        gaps = np.stack([
            self._gap, self._mean_gap, elapsed * 0.2, (self._gap == 0).astype(float), np.maximum(self._gap - 1.4, 0.0),
            np.maximum(self._gap - 2.2, 0.0), np.maximum(elapsed * 0.2 - 1.6, 0.0),
        ], axis=1)  # fmt: skip
        modes = np.concatenate([np.eye(shape.modes), np.zeros((1, shape.modes))])[self._mode]
        spread = np.log1p(self.distinct)
        items = np.stack([spread, spread - np.log1p(self.steps), (self.distinct == 0).astype(float)], axis=1)
        parts = [
            one[self._last].reshape(count, -1), one[self._first], self._faded.reshape(count, -1),
            np.log1p(self._counts), place, passed, gaps, modes, items,
        ]  # fmt: skip
        if shape.groups > 1:
            parts.append(self._groups.reshape(count, -1))
        place_in_span = (self.time - shape.span[0]) / max(int(shape.span[1] - shape.span[0]), 1) * (SEASONS - 1)
        parts.append(
            np.maximum(1.0 - np.abs(np.clip(place_in_span, 0, SEASONS - 1)[:, None] - np.arange(SEASONS)), 0.0)
        )
        if len(shape.bursts):
            left = shape.bursts - self.time[:, None]
            parts.append(np.log1p(np.maximum(left, 0) / 1e6) * 0.2)
            step = np.searchsorted(UNTIL, left / DAY, side="left")
            parts.append(np.concatenate([np.zeros((1, len(UNTIL))), np.eye(len(UNTIL))])[step].reshape(count, -1))
        if shape.hours:
            parts.append(calendar(self.time))
        return np.concatenate([*parts, self.static], axis=1)

    def pair(self) -> I64:
        """[n]: the last two events as one code of `shape.pairs`; 0 with fewer events, or where there are too many."""
        if not self.shape.paired:
            return np.zeros(len(self.time), dtype=np.int64)
        before, last = self._last[:, 1], self._last[:, 0]
        return np.where(before < 0, 0, before * self.shape.columns + last + 1)

    def pair_with(self, event: I64) -> I64:
        """[n]: the same of the last event and the next."""
        if not self.shape.paired:
            return np.zeros(len(event), dtype=np.int64)
        last = self._last[:, 0]
        return np.where(last < 0, 0, last * self.shape.columns + self.shape.column[event] + 1)

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
        self._counts[rows, column] += 1.0
        self._mode = mode
        self.steps += 1
        self._see(item)

    def _see(self, item: I64) -> None:
        has = item >= 0
        if not has.any():
            return
        group = self.shape.group[np.minimum(item, len(self.shape.group) - 1)]
        rows = np.flatnonzero(has)
        self._groups[rows, 0] = 0.0
        self._groups[rows, 0, group[rows]] = 1.0
        self._groups[rows, 1] *= 0.8
        self._groups[rows, 1, group[rows]] += 0.2
        here, item = self.recent[rows], item[rows].astype(np.int32)
        before = self.items_before[rows]
        self.items_before[rows] = np.concatenate([item[:, None], before[:, :2]], axis=1)
        found = here == item[:, None]
        known = found.any(axis=1)
        place = np.where(known, found.argmax(axis=1), RECENT - 1)
        moved = np.concatenate([item[:, None], here[:, :-1]], axis=1)
        self.recent[rows] = np.where(np.arange(RECENT) <= place[:, None], moved, here)
        self.distinct[rows] += ~known
