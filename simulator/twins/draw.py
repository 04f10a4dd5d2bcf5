"""Draws the sessions of fictional users from a twin model.

Everything of user i is a function of (model, key, i): which others are drawn with it changes nothing. So shards and
batches may ask for any users in any order. Knows no product, no pack and no Kafka.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.randomness import F64, U64, cumulative_shares, fold, interpolate, pick, root_key, uniform
from simulator.twins.log import I64, Log, table_of
from simulator.twins.model import TwinModel

MOST_EVENTS = 400
#: Users drawn at once: the arrays then fit the processor's cache.
BLOCK = 8192
_DAY, _HOUR, _WEEK = 86_400_000_000, 3_600_000_000, 7 * 86_400_000_000
_VISITS, _DAYS, _HOURS, _BACK, _START, _NEXT, _GAP, _HAS, _REPEAT, _ITEM = range(1, 11)


def draw(model: TwinModel, numbers: I64, key: np.uint64) -> Log:
    """All sessions of the users with these numbers (from 0). In the result `user` is the place in `numbers`, sessions
    are in the order of users and of their starts, and times are those of the core's calendar."""
    arrays = model.arrays
    user_key = fold(np.uint64(key), numbers)
    visits = 1 + pick(cumulative_shares(arrays["visits"][None]), _zeros(numbers), uniform(fold(user_key, _VISITS)))
    user = np.repeat(np.arange(len(numbers)), visits)
    turn = np.arange(len(user)) - np.repeat(np.cumsum(visits) - visits, visits)
    session_key = fold(user_key[user], turn + 1_000_000)
    event, item, time, session = _play(model, session_key, _starts(model, user_key, user, turn, session_key))
    count = np.bincount(session, minlength=len(user))
    return Log(
        event=event, item=item, time=time, session=session, first=np.append(0, np.cumsum(count)), user=user,
        words=model.words, users=len(numbers),
    )  # fmt: skip


def sample(model: TwinModel, sessions: int, key: np.uint64) -> pa.Table:
    """So many sessions as a log, users 0, 1, 2, ... one after the other; of the last user maybe not all. Ids are hashes
    of the key: `twin-` and a number in hexadecimal, with `-<session>` behind it."""
    parts, have, first = [], 0, 0
    while have < sessions:
        count = int(np.clip((sessions - have) * 1.2 + 16, 16, BLOCK))
        log = draw(model, np.arange(first, first + count), key)
        wanted = min(len(log.user), sessions - have)
        log = _head(log, wanted)
        words = fold(root_key("twin", int(key)), np.arange(first, first + count))
        names = [f"twin-{word:016x}" for word in words.tolist()]
        starts = np.flatnonzero(np.diff(log.user, prepend=-1))
        turn = np.arange(wanted) - np.repeat(starts, np.diff(np.append(starts, wanted)))
        visits = [f"{names[user]}-{number}" for user, number in zip(log.user.tolist(), turn.tolist(), strict=True)]
        parts.append(table_of(log, names, visits))
        have, first = have + wanted, first + count
    return pa.concat_tables(parts)


def _head(log: Log, sessions: int) -> Log:
    rows = int(log.first[sessions])
    return Log(
        log.event[:rows], log.item[:rows], log.time[:rows], log.session[:rows], log.first[: sessions + 1],
        log.user[:sessions], log.words, log.users, {name: column[:rows] for name, column in log.more.items()},
    )  # fmt: skip


def _zeros(like: npt.NDArray[Any]) -> I64:
    return np.zeros(len(like), dtype=np.int64)


def _starts(model: TwinModel, user_key: U64, user: I64, turn: I64, session_key: U64) -> I64:
    """When each session begins: the first by the curve of the span, the others a drawn number of days later, each at a
    drawn hour of its week."""
    arrays = model.arrays
    day = pick(cumulative_shares(arrays["days"][None]), _zeros(user_key), uniform(fold(user_key, _DAYS)))
    later = np.where(turn > 0, interpolate(arrays["back"], uniform(fold(session_key, _BACK))), 0.0)
    since = np.cumsum(later)
    since -= since[np.maximum(np.arange(len(user)) - turn, 0)] if len(user) else 0.0
    day = day[user] + since.astype(np.int64)
    start = int(arrays["origin"][0]) + day * _DAY
    weekday = (start // _DAY + 3) % 7
    by_day = cumulative_shares(arrays["hours"].reshape(7, 24) + 1e-12)
    chance = uniform(fold(session_key, _HOURS))
    hour = pick(by_day, weekday, chance)
    within: F64 = uniform(fold(fold(session_key, _HOURS), 1))
    return np.asarray(start + hour * _HOUR + (within * _HOUR).astype(np.int64))


def _play(model: TwinModel, key: U64, start: I64) -> tuple[I64, I64, I64, I64]:
    """Event, item, time and session of every event, sorted by session."""
    arrays, events = model.arrays, len(model.words["event"])
    chain, starts = cumulative_shares(arrays["chain"]), cumulative_shares(arrays["starts"][None])
    popular = cumulative_shares(arrays["popularity"][None]) if arrays["popularity"].sum() else None
    active = np.arange(len(key))
    event = pick(starts, active * 0, uniform(fold(key, _START)))
    item, time = np.full(len(key), -1), start.copy()
    parts = []
    for step in range(MOST_EVENTS):
        bits = fold(key[active], step + 1000)
        if popular is not None:
            fresh = pick(popular, active * 0, uniform(fold(bits, _ITEM)))
            again = (uniform(fold(bits, _REPEAT)) < arrays["repeat"][event]) & (item >= 0)
            has = uniform(fold(bits, _HAS)) < arrays["has_item"][event]
            item = np.where(again, item, fresh)
            parts.append((event, np.where(has, item, -1), time, active))
        else:
            parts.append((event, item, time, active))
        table = arrays["gap"][event]
        place = uniform(fold(bits, _GAP)) * (table.shape[1] - 1)
        cell = place.astype(np.int64)
        row = np.arange(len(active))
        seconds = table[row, cell] + (place - cell) * (table[row, cell + 1] - table[row, cell])
        follows = pick(chain, event, uniform(fold(bits, _NEXT)))
        on = np.flatnonzero(follows < events)
        active, event, item = active[on], follows[on], item[on]
        time = time[on] + (seconds[on] * 1e6).astype(np.int64)
        if not len(active):
            break
    joined = [np.concatenate([part[column] for part in parts]) for column in range(4)]
    order = np.argsort(joined[3], kind="stable")
    event, item, time, session = (column[order] for column in joined)
    return event, item, time, session
