"""No wait of a single person, and no first or last instant, can be read from a model's tables."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from personas.randomness import fold, root_key, uniform
from simulator.twins.bursts import HOUR, bursts_of
from simulator.twins.calendar import fit_calendar, land, wide_of
from simulator.twins.dwell import SECOND, durations_of
from simulator.twins.fit import fit
from simulator.twins.log import I64, Log
from simulator.twins.model import FitOptions
from tests.simulator.test_twins_model import small_log

K = 5


def waits() -> tuple[I64, I64]:
    """Two thousand waits of forty people between 20 and 80 seconds; one more person waits ten times very shortly, ten
    times very long."""
    usual = (20e6 + 60e6 * uniform(fold(root_key("waits", 1), np.arange(2000)))).astype(np.int64)
    odd = np.repeat([1_234_567, 987_654_321_123], 10) + np.arange(20)
    return np.concatenate([usual, odd]), np.append(np.arange(2000) % 40, np.full(20, 40))


def test_no_table_has_anybody_s_wait() -> None:
    gap, user = waits()
    zeros = np.zeros(len(gap), dtype=np.int64)
    found = durations_of(zeros, zeros, gap, user, K, 1)
    assert not np.isin(found.edges, np.concatenate([gap, gap + 1])).any()
    assert (np.diff(found.edges) > 0).all() and len(found.quantiles) > 5
    assert np.bincount(found.class_of(zeros, zeros, gap)).min() >= K
    seconds = np.expm1(found.quantiles[[0, -1], [0, -1]])
    assert seconds[0] > 5 and seconds[1] * SECOND < 0.5 * gap.max(), "one person is one of five"


@pytest.mark.parametrize("usual", [0, 30_000_000])
def test_waits_of_few_people_are_not_learnt(usual: int) -> None:
    gap = np.append(np.full(100, usual), [1_234_567, 7_654_321])
    user, zeros = np.append(np.arange(100), [3, 4]), np.zeros(102, dtype=np.int64)
    found = durations_of(zeros, zeros, gap, user, K, 1)
    assert found.atoms.tolist() == [usual] and not len(found.quantiles)


def test_the_span_is_of_whole_hours() -> None:
    table = small_log()
    late = pa.array([at + timedelta(minutes=7, microseconds=11) for at in table["ts"].to_pylist()], table["ts"].type)
    log = table.set_column(2, "ts", late)
    times = np.asarray(log["ts"].cast(pa.int64()))
    first, last = fit(log, FitOptions(k=K)).arrays["shape.span"].tolist()
    assert first % HOUR == last % HOUR == 0
    assert times.min() - HOUR < first < times.min() and times.max() < last < times.max() + HOUR


def test_waits_that_end_by_the_clock_are_one_class_and_end_at_its_minute() -> None:
    numbers = uniform(fold(root_key("clock"), np.arange(6000)))
    before = (numbers * 90 * 24 * 60).astype(np.int64) * 60 * SECOND
    due = before + 5 * 24 * HOUR
    instant = (due // HOUR + 1) * HOUR + 2 * 60 * SECOND  # a job at two past every hour
    event, user = np.ones(6000, dtype=np.int64), np.arange(6000) % 500
    durations = durations_of(event, before, instant, user, K, 60 * SECOND)
    assert len(durations.quantiles) - 1 < 6, "no class for every few minutes"
    words: dict[str, tuple[str, ...]] = {"event": ("solved", "closed"), "item": ()}
    log = Log(
        event=np.tile([0, 1], 6000), item=np.full(12000, -1), time=np.column_stack([before, instant]).ravel(),
        session=np.repeat(np.arange(6000), 2), first=np.arange(6001) * 2, user=user, words=words, users=500,
    )  # fmt: skip
    ratio = fit_calendar(log, durations, K, root_key("clock"))
    kind = durations.class_of(event, before, instant)
    found = land(durations, ratio, wide_of(durations), event, kind, before, fold(root_key("clock", 2), np.arange(6000)))
    assert (found // (60 * SECOND) % 60 == 2).mean() > 0.97


def test_in_a_burst_what_waited_longest_is_done_first() -> None:
    many, start = 1000, 60 * 24 * HOUR
    key = root_key("queue")
    usual = (uniform(fold(key, np.arange(6000))) * 120 * 24 * HOUR).astype(np.int64)
    age = (uniform(fold(key, 10_000 + np.arange(many))) * 20 * 24 * HOUR).astype(np.int64)
    place = np.argsort(np.argsort(-age))
    instant = np.append(usual + HOUR, start + place * (HOUR // many))
    before = np.append(usual, start - age)
    bursts = bursts_of(np.zeros(7000, np.int64), before, instant, np.arange(7000) % 900, K)
    assert len(bursts) == 1
    ages = np.array([2, 18]).repeat(50) * 24 * HOUR
    drawn = bursts.instants(np.zeros(100, np.int64), start - ages, np.linspace(0, 0.99, 100)) - start
    assert np.median(drawn[:50]) > 0.8 * HOUR
    assert np.median(drawn[50:]) < 0.2 * HOUR


def test_many_who_come_in_one_hour_are_no_burst() -> None:
    """They wait as they always do: what is special about that hour is that they are there."""
    key = root_key("together")
    usual = (uniform(fold(key, np.arange(6000))) * 120 * 24 * HOUR).astype(np.int64)
    there = 60 * 24 * HOUR + (uniform(fold(key, 10_000 + np.arange(1000))) * 0.8 * HOUR).astype(np.int64)
    before = np.append(usual, there)
    event, user = np.zeros(7000, np.int64), np.arange(7000) % 900
    assert len(bursts_of(event, before, before, user, K)) == 0
    assert len(bursts_of(event, before, before + 10 * SECOND, user, K)) == 0
    asked = np.append(usual, there - 5 * HOUR)
    assert len(bursts_of(event, asked, before, user, K)) == 1


def test_short_waits_of_a_wide_class_stay_short() -> None:
    """The last class reaches from minutes to days, and most of its waits are minutes."""
    numbers = uniform(fold(root_key("tail"), np.arange(4000)))
    wait = (np.exp(4 + 8 * numbers**60) * SECOND).astype(np.int64)
    before = (uniform(fold(root_key("tail", 2), np.arange(4000))) * 60 * 24 * HOUR).astype(np.int64)
    event, user = np.zeros(4000, dtype=np.int64), np.arange(4000) % 500
    durations = durations_of(event, before, before + wait, user, K, 1)
    last = wait >= durations.edges[-2]
    assert np.diff(durations.edges)[-1] > 2 * HOUR
    kind = np.full(4000, durations.plain - 1)
    even = np.ones((1, 168 + 60))
    found = land(durations, even, wide_of(durations), event, kind, before, fold(root_key("tail", 3), np.arange(4000)))
    assert np.quantile((found - before) / SECOND, [0.1, 0.3, 0.5]) == pytest.approx(
        np.quantile(wait[last] / SECOND, [0.1, 0.3, 0.5]), rel=0.2
    )
