"""A log drawn from noisy counts: what is computed from them stays private, whoever fits a model on it.

A first-order chain of events, pauses and returns by classes, items by popularity and repetition. What is smaller than
the noise is taken for nothing. Knows the counts and nothing of the core.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.errors import TwinError
from personas.randomness import U64, cumulative_shares, fold, pick, root_key, uniform
from simulator.twins.log import I64, Log, table_of
from simulator.twins.private.release import DAY, EDGES, HOUR, Released

F64 = npt.NDArray[np.float64]
MOST_USERS = 50_000
_MOST_STEPS = 50
_VISITS, _DAY, _HOUR, _MINUTE, _BACK, _START, _NEXT, _PAUSE, _WITHIN, _HAS, _SAME, _ITEM = range(1, 13)


def redraw(released: Released, seed: int) -> pa.Table:
    """A log about as large as the core was. TwinError where the noise has left nothing."""
    counts = {name: _cleared(each, released.sigmas[name]) for name, each in released.histograms.items()}
    events = len(released.words["event"])
    if not events or not counts["starts"].any():
        raise TwinError(
            "nothing of this core stands out of the noise.", hint="Wait for more users, or give a larger --epsilon."
        )
    users = int(np.clip(released.histograms["visits"].sum(), 50, MOST_USERS))
    key = fold(root_key("redraw", seed), np.arange(users))
    visits = np.maximum(_pick(counts["visits"], key, _VISITS), 1)
    user = np.repeat(np.arange(users), visits)
    turn = np.arange(len(user)) - np.repeat(np.cumsum(visits) - visits, visits)
    session = fold(key[user], turn + 1_000_000)
    start = _starts(released, counts, key, user, turn, session)
    event, item, time, of = _walk(counts, events, session, start, len(released.words["item"]))
    first = np.append(0, np.cumsum(np.bincount(of, minlength=len(user))))
    log = Log(event, item, time, of, first, user, released.words, users)
    return table_of(log, [str(n) for n in range(users)], [f"{u}-{t}" for u, t in zip(user, turn, strict=True)])


def _cleared(counts: F64, sigma: float) -> F64:
    """What is less than twice the noise is nothing, unless all is."""
    clear = np.where(counts >= 2.0 * sigma, counts, 0.0)
    return clear if clear.any() else counts


def _pick(counts: F64, key: U64, purpose: int) -> I64:
    shares = cumulative_shares((counts if counts.any() else np.ones_like(counts))[None])
    return pick(shares, np.zeros(len(key), dtype=np.int64), uniform(fold(key, purpose)))


def _pause(classes: I64, key: U64) -> I64:
    """Microseconds within classes of pauses."""
    high = np.append(EDGES[1:], EDGES[-1] * 2)[classes]
    seconds = EDGES[classes] + uniform(fold(key, _WITHIN)) * (high - EDGES[classes])
    return np.asarray((np.where(classes == 0, 0.0, seconds) * 1e6).astype(np.int64))


def _starts(released: Released, counts: dict[str, F64], key: U64, user: I64, turn: I64, session: U64) -> I64:
    """The first session of a user on a day of the curve at an hour of the week, the others a drawn time later."""
    day = _pick(counts["days"], key, _DAY)
    weekday = (released.origin // DAY + day + 3) % 7
    hours = cumulative_shares(counts["hours"].reshape(7, 24) + 1e-9)
    hour = pick(hours, weekday, uniform(fold(key, _HOUR)))
    begin = released.origin + day * DAY + hour * HOUR + (uniform(fold(key, _MINUTE)) * HOUR).astype(np.int64)
    later = np.where(turn > 0, _pause(_pick(counts["returns"], session, _BACK), fold(session, _BACK)), 0)
    since = np.cumsum(later)
    return np.asarray(begin[user] + since - since[np.arange(len(user)) - turn])


def _walk(counts: dict[str, F64], events: int, key: U64, start: I64, items: int) -> tuple[I64, I64, I64, I64]:
    pairs = counts["pairs"].reshape(events, events + 1)
    pairs[:, -1] += pairs.sum(axis=1) == 0  # of which nothing is known, it is the last
    chain = cumulative_shares(pairs)
    pauses = cumulative_shares(counts["pauses"].reshape(events, len(EDGES)) + 1e-9)
    total = np.maximum(pairs.sum(axis=1), 1.0)
    has = np.minimum(counts["with_item"] / total, 1.0) if items else np.zeros(events)
    same = np.minimum(counts["repeats"] / np.maximum(counts["with_item"], 1.0), 1.0)
    active, time = np.arange(len(key)), start.copy()
    event, item = _pick(counts["starts"], key, _START), np.full(len(key), -1)
    parts = []
    for step in range(_MOST_STEPS):
        bits = fold(key[active], step + 1000)
        if items:
            fresh = _pick(counts["popularity"], bits, _ITEM)
            again = (uniform(fold(bits, _SAME)) < same[event]) & (item >= 0)
            item = np.where(again, item, fresh)
        shown = np.where(uniform(fold(bits, _HAS)) < has[event], item, -1)
        parts.append((event, shown, time, active))
        following = pick(chain, event, uniform(fold(bits, _NEXT)))
        pause = _pause(pick(pauses, event, uniform(fold(bits, _PAUSE))), bits)
        on = np.flatnonzero(following < events)
        active, event, item, time = active[on], following[on], item[on], time[on] + pause[on]
        if not len(active):
            break
    joined = [np.concatenate([part[column] for part in parts]) for column in range(4)]
    order = np.argsort(joined[3], kind="stable")
    found, shown, when, of = (column[order] for column in joined)
    return found, shown, when, of
