"""Draws those sessions again that nearly equal a real one, and says how often.

A session's next tries have keys of their own that follow from its key: it is the same whatever is drawn with it. When
no try is left it is cut to what is too short to point at anybody, rather than dropped: then its user would come less
often. Knows nothing of how a session is drawn, nor of what is too near (see `near_copies`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol, TypeVar

import numpy as np

from personas.randomness import U64, fold
from simulator.twins.log import I64
from simulator.twins.near_copies import NearCopies

#: A session is drawn again so often at most.
TRIES = 4
_AGAIN = 9_000_000
#: Event, item, time and session (row) of each event, sorted by session.
Drawn = tuple[I64, I64, I64, I64]


@dataclass
class Refused:
    """Sessions that nearly equalled a real one and were drawn again (`refused`); those that had to be cut (`cut`)."""

    refused: int = 0
    cut: int = 0

    def counts(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


class Asked(Protocol):
    """Sessions that are to be played."""

    @property
    def key(self) -> U64:
        """[n] the random key of each."""
        ...


Some = TypeVar("Some", bound=Asked)


def apart(
    near: NearCopies, play: Callable[[Some], Drawn], again: Callable[[I64, U64], Some], asked: Some, told: Refused
) -> Drawn:
    """What `play` draws for the sessions asked for, none too near to a real one. `again` gives rows of them other keys;
    `told` is counted up."""
    drawn = play(asked)
    rows = near.of(drawn[0], drawn[1], drawn[3], len(asked.key))
    if not len(rows):
        return drawn
    told.refused += len(rows)
    parts = [_without(drawn, rows)]
    for number in range(TRIES):
        tried = play(again(rows, fold(asked.key[rows], _AGAIN + number)))
        bad = near.of(tried[0], tried[1], tried[3], len(rows))
        parts.append(_placed(_without(tried, bad), rows))
        if not len(bad):
            break
        if number == TRIES - 1:
            told.cut += len(bad)
            parts.append(_placed(_beginning(tried, bad, near.shortest - 1), rows))
        rows = rows[bad]
    joined = [np.concatenate([part[column] for part in parts]) for column in range(4)]
    order = np.argsort(joined[3], kind="stable")
    event, item, time, session = (column[order] for column in joined)
    return event, item, time, session


def _without(drawn: Drawn, sessions: I64) -> Drawn:
    event, item, time, session = drawn
    kept = ~np.isin(session, sessions)
    return event[kept], item[kept], time[kept], session[kept]


def _beginning(drawn: Drawn, sessions: I64, events: int) -> Drawn:
    """Of these sessions the first events."""
    event, item, time, session = drawn
    place = np.arange(len(session)) - np.searchsorted(session, session, side="left")
    kept = np.isin(session, sessions) & (place < events)
    return event[kept], item[kept], time[kept], session[kept]


def _placed(drawn: Drawn, rows: I64) -> Drawn:
    """The same with sessions by the rows that they stand for."""
    return drawn[0], drawn[1], drawn[2], rows[drawn[3]]
