"""What holds for a whole session: what the user has done before it."""

from __future__ import annotations

import numpy as np

from personas.randomness import F64
from simulator.twins.log import I64, Log

STATIC = 8
_TURNS = (0, 1, 2, 5, 10)


def state(turn: I64, since: I64, count: I64) -> F64:
    """[n, STATIC]: the user's sessions so far (in steps), the time since the last one began (microseconds), and how
    many there will be in all."""
    step = np.eye(len(_TURNS))[np.searchsorted(_TURNS, turn, side="right") - 1]
    past = np.where(turn > 0, np.log1p(np.maximum(since, 0) / 1e6) * 0.2, 0.0)
    number = np.minimum(np.log1p(count), 4.0)
    return np.concatenate([step, np.stack([past, number * (turn > 0), number], axis=1)], axis=1)


def turns_of(user: I64, start: I64) -> tuple[I64, I64, I64]:
    """Of each session: how many its user had before, microseconds since the last began, and how many there are."""
    order = np.lexsort((start, user))
    fresh = np.diff(user[order], prepend=-1) != 0
    begun = np.flatnonzero(fresh)
    count = np.diff(np.append(begun, len(user)))
    turn, since, number = (np.empty(len(user), dtype=np.int64) for _ in range(3))
    turn[order] = np.arange(len(user)) - np.repeat(begun, count)
    since[order] = np.diff(start[order], prepend=0)
    number[order] = np.repeat(count, count)
    return turn, np.where(turn > 0, since, 0), number


def static_of(log: Log) -> F64:
    """[s, STATIC] of a log's sessions."""
    return state(*turns_of(log.user, log.time[log.first[:-1]]))
