"""When users come: in a small log no hour of the week has many of them, and waits are as long as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from personas.randomness import fold, root_key
from simulator.twins.draw import sample
from simulator.twins.fit import fit
from simulator.twins.log import log_of
from simulator.twins.model import FitOptions
from simulator.twins.visits import fit_visits, starts_of
from tests.simulator.twins.knowing import DAY, HOUR, START, numbers, table


def small(users: int) -> pa.Table:
    """One session each, on any day; between 6 and 22 o'clock, and most of all at 14."""
    rows: list[tuple[str, str, int, str, str | None]] = []
    for user in range(users):
        day = START + int(numbers("day", user) * 28) * DAY
        time = day + int((6 + 8 * (numbers("hour", user) + numbers("half", user))) * HOUR)
        rows += [(f"u{user}", f"s{user}", time + step * 60_000_000, "look", None) for step in range(3)]
    return table(rows)


def by_hour(log: pa.Table) -> Any:
    return np.bincount(np.asarray(log["ts"].cast(pa.int64())) // HOUR % 24, minlength=24) / log.num_rows


def test_a_small_log_keeps_its_hours() -> None:
    log = small(300)
    drawn = by_hour(sample(fit(log, FitOptions(k=5)), 3000, np.uint64(5)))
    assert np.abs(drawn - by_hour(log)).sum() / 2 < 0.08
    assert drawn[:5].sum() < 0.01, "nobody comes at night"


def test_no_hour_of_fewer_than_k_users_has_a_number_of_its_own() -> None:
    log = log_of(small(300))
    hours = fit_visits(log, 5)["visits.hours"]
    place = (log.time[log.first[:-1]] // HOUR + 72) % 168
    count = np.bincount(place, minlength=168)
    few = np.flatnonzero((count > 0) & (count < 5))
    assert len(few) > 20
    working, weekend = few[few < 120], few[few >= 120]
    for alike in (working, weekend):
        for hour in range(24):
            assert len(np.unique(hours[alike[alike % 24 == hour]])) <= 1


def returning(users: int) -> pa.Table:
    """Three sessions each, always between 14 and 16 o'clock; days between them fall off as 0.85 to their number."""
    rows: list[tuple[str, str, int, str, str | None]] = []
    for user in range(users):
        day = int(numbers("day", user) * 40)
        for visit in range(3):
            time = START + day * DAY + int((14 + 2 * numbers("hour", user, visit)) * HOUR)
            rows.append((f"u{user}", f"u{user}-{visit}", time, "look", None))
            day += 1 + int(np.log1p(-numbers("wait", user, visit)) / np.log(0.85))
    return table(rows)


def test_long_waits_are_not_lost_for_ending_at_an_odd_hour() -> None:
    log = log_of(returning(400))
    arrays, key = fit_visits(log, 5), fold(root_key("test"), np.arange(2000))
    user, turn = np.repeat(np.arange(2000), 3), np.tile(np.arange(3), 2000)
    drawn = starts_of(arrays, key, user, turn, np.full(2000, 3), fold(key[user], turn + 1_000_000))
    real = log.time.reshape(-1, 3)
    waits, theirs = np.diff(np.sort(drawn.reshape(-1, 3))).ravel() / DAY, np.diff(real).ravel() / DAY
    places = [0.25, 0.5, 0.75, 0.9]
    assert np.quantile(waits, places).tolist() == pytest.approx(np.quantile(theirs, places).tolist(), rel=0.2)
    assert (waits < 1).mean() == pytest.approx((theirs < 1).mean(), abs=0.04)


def test_a_robot_does_not_decide_when_others_come_back() -> None:
    robot = [("robot", f"robot-{n}", START + n * HOUR // 2, "look", None) for n in range(3000)]
    log = log_of(pa.concat_tables([returning(400), table(robot)]))
    plain, other = fit_visits(log_of(returning(400)), 5), fit_visits(log, 5)
    assert np.abs(plain["visits.curve"] - other["visits.curve"][: len(plain["visits.curve"])]).mean() < 0.1
    assert other["visits.busy"].max() == pytest.approx(plain["visits.busy"].max(), rel=0.3)


@pytest.mark.parametrize(
    ("users", "shares"),
    [
        ({3: 400}, {3: 400}),  # once, 1, 2 and 3 visits were as frequent
        ({1: 50, 2: 3, 3: 20}, {1: 50, 3: 23}),
        ({1: 50, 7: 2, 8: 1, 9: 2, 12: 6}, {1: 50, 7: 5 / 3, 8: 5 / 3, 9: 5 / 3, 12: 6}),
        ({1: 50, 4: 6, 90: 1}, {1: 50, 4: 7}),
    ],
)
def test_numbers_of_visits_that_k_users_have_stand(users: dict[int, int], shares: dict[int, float]) -> None:
    rows: list[tuple[str, str, int, str, str | None]] = []
    for visits, many in users.items():
        for user in range(many):
            name = f"u{visits}-{user}"
            rows += [(name, f"{name}-{visit}", START + (user + visit) * DAY, "look", None) for visit in range(visits)]
    found = fit_visits(log_of(table(rows)), 5)["visits.counts"] * sum(users.values())
    assert {number + 1: share for number, share in enumerate(found.tolist()) if share} == pytest.approx(shares)
