"""When users come: how many sessions each has, the day of the first, the time between, and the hour of the week.

Users who come often differ from those who come once in everything else too, so there are tables for several *habits*
(by the number of sessions). Days with fewer than k first sessions, and hours of the week of fewer than k users, share
what they have with those like them: left out, as they once were, they took most of a small log's hours with them.
Knows nothing of what happens in a session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import F64, U64, cumulative_shares, fold, pick, root_key, uniform
from simulator.twins.dwell import resolution_of
from simulator.twins.fixed_point import draw
from simulator.twins.log import I64, Log
from simulator.twins.privacy import users_of

Arrays = Mapping[str, npt.NDArray[Any]]
DAY, HOUR, MINUTE = 86_400_000_000, 3_600_000_000, 60_000_000
CELLS = 64
#: Sessions of a user from which on another habit begins.
HABITS = (1, 2, 3, 6, 12, 30)
CANDIDATES = 12
CALIBRATION, SHRUNK = 4000, 10.0
WEEK = 168
_COUNT, _DAY, _HOUR, _BACK, _WITHIN = range(1, 6)


def habit_of(count: I64) -> I64:
    """The habit of users with so many sessions."""
    return np.searchsorted(HABITS, count, side="right") - 1


def fit_visits(log: Log, k: int) -> dict[str, npt.NDArray[Any]]:
    """counts [V] (share of users with 1, 2, ... sessions), days [habits, D], back [habits, CELLS+1] (log1p of seconds),
    hours [168], busy [168], curve [D] (all sessions by day, 1 on average), origin, resolution (both microseconds)."""
    start = log.time[log.first[:-1]]
    order = np.lexsort((start, log.user))
    user, start = log.user[order], start[order]
    count = np.bincount(user, minlength=log.users)
    longest = _longest(count, k)  # a robot that comes 5,000 times says no more of the hours than whom it stands for
    kept = np.arange(len(user)) - (np.cumsum(count) - count)[user] < longest
    user, start, count = user[kept], start[kept], np.minimum(count, longest)
    habit = habit_of(count)
    fresh = np.diff(user, prepend=-1) != 0
    origin = int(start.min() // DAY)
    day = (start[fresh] // DAY - origin).astype(np.int64)
    days = int(start.max() // DAY) - origin + 1
    curve = _curve(day, days, origin, k)
    by_habit = np.stack([_blend(day[habit == h], curve, origin) for h in range(len(HABITS))])
    gaps, of_gap = np.diff(start)[~fresh[1:]], habit[user[1:]][~fresh[1:]]
    whole = np.log1p(gaps / 1e6)
    mine = [of_gap == h for h in range(len(HABITS))]
    back = np.stack([_table(whole[rows] if rows.sum() >= CELLS else whole, k) for rows in mine])
    soon, place = np.append(0, np.diff(start)) <= DAY, (start // HOUR + 72) % WEEK
    soon &= ~fresh
    pools = _pools(place, user, k)
    hours = _shared(np.bincount(place, minlength=WEEK), pools)
    open_hours = _shared(np.bincount(place[~soon], minlength=WEEK), pools) + 0.02 * hours
    soon_hours = _shared(np.bincount(place[soon], minlength=WEEK), pools).reshape(7, 24).sum(axis=0)
    arrays = {
        "visits.counts": _counts(count, k), "visits.days": by_habit, "visits.back": back,
        "visits.hours": open_hours + 1e-9, "visits.busy": _busy(hours),
        "visits.curve": _curve(start // DAY - origin, days, origin, k) * days,
        "visits.origin": np.array([origin * DAY]),
        "visits.resolution": np.array([resolution_of(log.time)]),
    }  # fmt: skip
    share = soon.sum() / max((~fresh).sum(), 1)
    return _settled(arrays, start // DAY - origin, np.rint(soon_hours).astype(np.int64), float(share))


def _pools(place: I64, user: I64, k: int) -> I64:
    """[168]: which hours of the week share what they have. One of at least k users stands alone; others go with the
    same hour of other working days, or weekends; of all days; then with four hours of all days, and with all that is
    left. -1: together fewer than k users."""
    hour, weekend = np.arange(WEEK) % 24, np.arange(WEEK) >= 5 * 24
    found = np.full(WEEK, -1)
    levels = np.arange(WEEK), 24 * weekend + hour, hour, hour // 4, np.zeros(WEEK, dtype=np.int64)
    for number, alike in enumerate(levels):
        left = found < 0
        rows = left[place]
        enough = users_of(alike[place[rows]], user[rows], WEEK) >= k
        found = np.where(left & enough[alike], number * WEEK + alike, found)
    return found


def _shared(count: I64, pools: I64) -> F64:
    """[168]: counts with the mean of its pool for each hour; nothing for hours without one."""
    code = np.unique(pools, return_inverse=True)[1]
    mean = np.bincount(code, count) / np.bincount(code)
    return np.asarray(np.where(pools >= 0, mean[code], 0.0))


def _settled(
    arrays: dict[str, npt.NDArray[Any]], day: I64, hours: I64, within_a_day: float
) -> dict[str, npt.NDArray[Any]]:  # fmt: skip
    """The arrays with a curve under which drawn sessions fall on the weeks and the days of the week that the real ones
    did, and busy hours under which those within a day of another do so too (`hours` [24]: how often), and are as many
    (`within_a_day`: share of all returns): waits have their own idea of when users come back, and this has to make up
    for it. It begins with weeks that are alike: what waits bring to a week is not to be counted twice."""
    key, days = fold(root_key("visits"), np.arange(CALIBRATION)), len(arrays["visits.curve"])
    of_day = np.arange(days)
    week, weekday = of_day // 7, of_day % 7
    count = counts_of(arrays, key)
    if count.max(initial=0) < 2:
        return arrays
    if days >= 14:
        mean = (np.bincount(week, arrays["visits.curve"]) / np.bincount(week))[week]
        arrays = {**arrays, "visits.curve": arrays["visits.curve"] / np.where(mean > 0, mean, 1.0)}
    user = np.repeat(np.arange(len(count)), count)
    turn = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    session_key = fold(key[user], turn + 1_000_000)
    for _ in range(8):
        start = starts_of(arrays, key, user, turn, count, session_key)
        drawn = np.clip(start // DAY - int(arrays["visits.origin"][0]) // DAY, 0, days - 1)
        soon = (turn > 0) & (np.append(0, np.diff(start)) <= DAY)
        curve = arrays["visits.curve"]
        if days >= 14:
            curve = curve * _ratio(week[day], week[drawn], week[-1] + 1)[week]
            curve *= _ratio(weekday[day], weekday[drawn], 7)[weekday]
        by_hour = _ratio(np.repeat(np.arange(24), hours), start[soon] // HOUR % 24, 24)
        more = np.clip((within_a_day + 1e-3) / (soon.sum() / max((turn > 0).sum(), 1) + 1e-3), 0.5, 2.0)
        arrays = {**arrays, "visits.curve": curve, "visits.busy": arrays["visits.busy"] * np.tile(by_hour, 7) * more}
    return arrays


def _ratio(wanted: I64, found: I64, size: int) -> F64:
    """[size]: how much more often each code is wanted than found; shrunk, as few are wanted by chance."""
    counts = np.bincount(wanted, minlength=size), np.bincount(found, minlength=size) * len(wanted) / max(len(found), 1)
    return np.asarray(np.clip((counts[0] + SHRUNK) / (counts[1] + SHRUNK), 0.5, 2.0))


def _busy(hours: F64) -> F64:
    """[168]: how busy an hour is within its day; days themselves are in the curve."""
    by_day = hours.reshape(7, 24) + 1e-9
    return np.asarray((by_day / by_day.mean(axis=1, keepdims=True)).ravel())


def _longest(count: I64, k: int) -> int:
    """As many sessions as k users have, and more."""
    return int(np.sort(count)[::-1][min(k, len(count)) - 1])


def _counts(count: I64, k: int) -> F64:
    """Shares of 1, 2, ... sessions. Numbers that fewer than k users have share with those that follow, until there are
    k users; too few before a number that k users have are counted there."""
    longest = _longest(count, k)
    users = np.bincount(np.minimum(count, longest), minlength=longest + 1)[1:].tolist()
    shares = np.zeros(longest)
    pool, waiting = list[int](), 0
    for place, here in enumerate(users):
        if here >= k or place == longest - 1:
            shares[place] = here + waiting
            pool, waiting = [], 0
        elif here or pool:
            pool, waiting = [*pool, place], waiting + here
            if waiting >= k:
                shares[pool] = waiting / len(pool)
                pool, waiting = [], 0
    return np.asarray(shares / shares.sum())


def _curve(day: I64, days: int, origin: int, k: int) -> F64:
    """Share of first sessions by day; days below k have the mean of such days around them, weekends and not apart."""
    share = np.bincount(day, minlength=days).astype(np.float64)
    rare = share < k
    weekend = (np.arange(days) + origin + 3) % 7 >= 5
    for kind in (False, True):
        alike = rare & (weekend == kind)
        rows = np.flatnonzero(alike)
        for part in np.array_split(rows, max(len(rows) // 14, 1)):
            share[part] = share[part].mean() if len(part) else 0.0
    return np.asarray(share / share.sum())


def _blend(day: I64, curve: F64, origin: int) -> F64:
    """The curve of one habit: that of all, times how this habit's weeks differ, shrunk."""
    week = np.arange(len(curve)) // 14
    all_weeks = np.bincount(week, curve)
    mine = np.bincount(week[day], minlength=len(all_weeks)) + 20.0 * all_weeks
    ratio = mine / mine.sum() / np.maximum(all_weeks, 1e-12)
    found = curve * ratio[week]
    return np.asarray(found / found.sum())


def _table(values: F64, k: int) -> F64:
    if not len(values):
        return np.full(CELLS + 1, np.log1p(7 * 86_400.0))
    ordered = np.sort(values)
    part = min(k, len(ordered))
    table = np.quantile(ordered, np.linspace(0, 1, CELLS + 1))
    return np.asarray(np.clip(table, ordered[:part].mean(), ordered[-part:].mean()))


def counts_of(arrays: Arrays, user_key: U64) -> I64:
    """How many sessions each user has."""
    shares = cumulative_shares(arrays["visits.counts"][None])
    return 1 + pick(shares, np.zeros(len(user_key), dtype=np.int64), uniform(fold(user_key, _COUNT)))


def starts_of(arrays: Arrays, user_key: U64, user: I64, turn: I64, count: I64, session_key: U64) -> I64:
    """When each session begins: microseconds since 1970. Rows are the users' sessions, user by user, by turn.

    Turn by turn: the wait since the session before is drawn from what is left of the log's span, several times, and one
    of the instants is chosen by how busy its day is, and within a day of the session before, its hour (as in
    `calendar`). Later the hour is open: to weigh it would favour waits of whole days, and so the short ones."""
    habit = habit_of(count)
    origin, days = int(arrays["visits.origin"][0]), arrays["visits.days"].shape[1]
    end = origin + days * DAY
    day = pick(cumulative_shares(arrays["visits.days"]), habit, uniform(fold(user_key, _DAY)))
    hours = cumulative_shares(arrays["visits.hours"].reshape(7, 24))
    hour = pick(hours, (day + origin // DAY + 3) % 7, uniform(fold(user_key, _HOUR)))
    within = (uniform(fold(user_key, _WITHIN)) * HOUR).astype(np.int64)
    begun = np.flatnonzero(turn == 0)
    start = np.empty(len(user), dtype=np.int64)
    start[begun] = origin + day * DAY + hour * HOUR + within
    hour_of = (np.arange(days * 24) + origin // HOUR + 72) % WEEK
    busy, curve = arrays["visits.busy"][hour_of], arrays["visits.curve"]
    for number in range(1, int(count.max(initial=1))):
        users = np.flatnonzero(count > number)
        rows = begun[users] + number
        before = start[rows - 1]
        bits = session_key[rows]
        table = arrays["visits.back"][habit[users]]
        left = np.log1p(np.maximum(end - before, MINUTE) / 1e6)
        most = _rank(table, left)
        chance = (np.arange(CANDIDATES) + uniform(fold(bits, _BACK))[:, None]) / CANDIDATES * most[:, None]
        cell = np.minimum((chance * CELLS).astype(np.int64), CELLS - 1)
        low = np.take_along_axis(table, cell, axis=1)
        high = np.take_along_axis(table, cell + 1, axis=1)
        wait = np.rint(np.expm1(low + (chance * CELLS - cell) * (high - low)) * 1e6).astype(np.int64)
        instants = before[:, None] + wait
        place = np.clip((instants - origin) // HOUR, 0, len(busy) - 1)
        weight = curve[place // 24] * np.where(wait <= DAY, busy[place], 1.0) + 1e-9
        taken = draw(weight, uniform(fold(bits, _HOUR)))
        instant = instants[np.arange(len(rows)), taken]
        far = instant - before > DAY  # then the hour is open, and drawn as that of a first session
        hour = pick(hours, (instant // DAY + 3) % 7, uniform(fold(bits, _WITHIN)))
        exact = instant // DAY * DAY + hour * HOUR + (uniform(fold(bits, _WITHIN + 1)) * HOUR).astype(np.int64)
        start[rows] = np.minimum(np.where(far, np.maximum(exact, before + MINUTE), instant), end - 1)
    resolution = int(arrays["visits.resolution"][0])
    return np.asarray(start // resolution * resolution)


def _rank(table: F64, value: F64) -> F64:
    """[n]: the probability at which each row of quantiles [n, CELLS+1] reaches its value; at least one cell."""
    place = (table <= value[:, None]).sum(axis=1) - 1
    cell = np.clip(place, 0, CELLS - 1)
    rows = np.arange(len(value))
    low, high = table[rows, cell], table[rows, cell + 1]
    share = np.clip((value - low) / np.maximum(high - low, 1e-9), 0.0, 1.0)
    return np.asarray(np.maximum((cell + share) / CELLS, 1.0 / CELLS))
