"""No wait of a single person, and no first or last instant, can be read from a model's tables."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from personas.randomness import fold, root_key, uniform
from simulator.twins.bursts import HOUR
from simulator.twins.dwell import SECOND, durations_of
from simulator.twins.fit import fit
from simulator.twins.log import I64
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
