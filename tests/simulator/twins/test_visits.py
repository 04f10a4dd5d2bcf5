"""When the users of a small log come: no hour of the week has many of them, and together they tell the hours well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from simulator.twins.draw import sample
from simulator.twins.fit import fit
from simulator.twins.log import log_of
from simulator.twins.model import FitOptions
from simulator.twins.visits import fit_visits
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
