"""What of a core may be learnt at all: names that fewer than k users have are gone before anything is computed.

An event name or a property's value of fewer than k users gets no code, so no array has a place for it. Rows of such
events are left out. An item of fewer than k users is learnt nothing about alone: it is pooled with items like it (see
`catalogue`). An item of a single user has no name either: it keeps its place in the sessions, so that their length and
their repetitions are learnt, as one of many others with fictional names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from simulator.twins.log import I64, Log

Bools = npt.NDArray[np.bool_]
#: Fictional names, for each item of a single user: such items are hardly ever met by two people, so names must not be
#: either. And how many there are at most.
NAMES, MOST_RARE = 8, 200_000


def users_of(code: I64, user: I64, size: int) -> I64:
    """[size]: how many different users have each code; codes below zero are nobody's."""
    there = code >= 0
    span = int(user.max(initial=0)) + 1
    pairs = np.unique(code[there] * span + user[there])
    return np.bincount(pairs // span, minlength=size)[:size]


def extremes(values: npt.NDArray[Any], user: I64, k: int) -> tuple[float, float]:
    """The lowest and the highest that may be told of values of users: means of the lowest (highest) values of the k
    users who go furthest, so that nobody alone decides them. With fewer than k users, of all users."""
    order = np.lexsort((values, user))
    change = np.flatnonzero(np.diff(user[order])) + 1
    low = values[order][np.append(0, change)]
    high = values[order][np.append(change, len(order)) - 1]
    return float(np.sort(low)[:k].mean()), float(np.sort(high)[-k:].mean())


def in_order(log: Log) -> Log:
    """The log with the rows of each session in the order of their times; equal times keep the order of the rows."""
    late = (np.diff(log.time) < 0) & (np.diff(log.session) == 0)
    if not late.any():
        return log
    return chosen(log, np.lexsort((np.arange(len(log.time)), log.time, log.session)))


def chosen(log: Log, rows: I64) -> Log:
    """These rows of a log (sorted by session); sessions and users without any are gone."""
    session = np.unique(log.session[rows], return_inverse=True)[1]
    first = np.flatnonzero(np.diff(session, prepend=-1))
    owners, user = np.unique(log.user[log.session[rows][first]], return_inverse=True)
    taken = pa.array(rows)
    return Log(
        event=log.event[rows], item=log.item[rows], time=log.time[rows], session=session,
        first=np.append(first, len(rows)), user=user, words=log.words, users=len(owners),
        more={name: column.take(taken) for name, column in log.more.items()},
    )  # fmt: skip


@dataclass(frozen=True)
class Names:
    """Which items have names: `frequent` of them have at least k users, and come first; `users` [items with names]."""

    frequent: int
    users: I64


def thinned(log: Log, k: int, named: int) -> tuple[Log, Names, dict[str, int]]:
    """The log without events of fewer than `k` users, its items in the order frequent, rare, nameless, and how many
    kinds of each went. Items of fewer than `named` users have fictional names."""
    by_user = log.user[log.session]
    often = users_of(log.event, by_user, len(log.words["event"])) >= k
    kept = chosen(log, np.flatnonzero((log.event >= 0) & often[log.event]))
    events, event = _renamed(kept.event, log.words["event"], often)
    items = len(log.words["item"])
    counted = users_of(kept.item, kept.user[kept.session], items)
    rank = np.where(counted >= k, 0, np.where(counted >= named, 1, np.where(counted > 0, 2, 3)))
    order = np.argsort(rank, kind="stable")
    frequent, known, there = (int((rank <= level).sum()) for level in range(3))
    place = np.empty(items + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(items), -1
    place = np.where(place >= known, known + (place - known) % MOST_RARE, place)
    words = {
        **log.words,
        "event": events,
        "item": (
            *(log.words["item"][item] for item in order[:known].tolist()),
            *(f"other-{number:06d}" for number in range(1, min(NAMES * (there - known), MOST_RARE) + 1)),
        ),
    }
    dropped = {
        "events": int((~often).sum()),
        "rows": len(log.event) - len(kept.event),
        "items": there - known,
    }
    thin = Log(
        event=event, item=place[kept.item], time=kept.time, session=kept.session, first=kept.first,
        user=kept.user, words=words, users=kept.users, more=kept.more,
    )  # fmt: skip
    return thin, Names(frequent, counted[order[:known]]), dropped


def _renamed(code: I64, words: Any, kept: Bools) -> tuple[tuple[str, ...], I64]:
    place = np.cumsum(kept) - 1
    return tuple(word for word, keep in zip(words, kept, strict=True) if keep), place[code]
