"""How logs become features: rare events and items are one code, categories are counted from 1, and 0 is 'none'.

What is rare is decided on the real training log, so that every arm of a comparison has the same features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from sinks.proof.log import I64, Log

#: Events and items that have a code of their own in the features.
EVENTS, ITEMS = 24, 60
_HOUR, _DAY = 3_600_000_000, 86_400_000_000


@dataclass(frozen=True, eq=False)
class Coding:
    """Codes from 1 to EVENTS (ITEMS) for the frequent ones, then one for all others; 0 where there is none."""

    events: I64
    items: I64

    def event(self, codes: npt.NDArray[np.integer]) -> I64:
        """Feature codes of events; -1 gives 0."""
        return np.where(codes < 0, 0, self.events[codes])

    def item(self, codes: npt.NDArray[np.integer]) -> I64:
        """Feature codes of items; -1 gives 0."""
        return np.where(codes < 0, 0, self.items[codes]) if len(self.items) else np.zeros(len(codes), np.int64)

    @property
    def event_codes(self) -> int:
        """How many codes of events there are, with 0."""
        return int(self.events.max(initial=0)) + 1


def coding_of(log: Log) -> Coding:
    """The coding that a log decides."""
    return Coding(_frequent(log.event, len(log.words.events), EVENTS), _frequent(log.item, len(log.words.items), ITEMS))


def _frequent(codes: npt.NDArray[np.int32], size: int, own: int) -> I64:
    counts = np.bincount(codes[codes >= 0], minlength=size)
    order = np.argsort(-counts, kind="stable")
    codes_of = np.full(size, min(own, size) + 1, np.int64)
    codes_of[order[:own]] = np.arange(1, min(own, size) + 1)
    codes_of[counts == 0] = min(own, size) + 1
    return codes_of


def before(log: Log, values: npt.NDArray[np.integer], steps: int) -> npt.NDArray[np.integer]:
    """For each row the value `steps` rows earlier in its session, -1 where there is none."""
    moved = np.full(log.rows, -1, values.dtype)
    moved[steps:] = values[: max(log.rows - steps, 0)]
    moved[log.position < steps] = -1
    return moved


def new_items(log: Log) -> npt.NDArray[np.bool_]:
    """Whether each row is the first of its session with its item; False where it has none."""
    pairs = log.session * (len(log.words.items) + 1) + log.item
    new = np.zeros(log.rows, bool)
    new[np.unique(pairs, return_index=True)[1]] = True
    return new & (log.item >= 0)


def running(log: Log, values: npt.NDArray[np.generic]) -> F64:
    """The sum of values from the beginning of the session up to and with each row."""
    total = np.cumsum(values, dtype=np.float64)
    return np.asarray(total - np.r_[0.0, total][log.start[:-1]][log.session])


def hour_of(time: I64) -> I64:
    """Hour of the day, 0 to 23 (UTC)."""
    return time // _HOUR % 24


def weekday_of(time: I64) -> I64:
    """Day of the week, 0 is Monday (UTC)."""
    return (time // _DAY + 3) % 7
