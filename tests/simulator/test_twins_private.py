"""Differential privacy: the accountant, bounds that hold for any user, names that stay hidden."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personas.errors import SettingsError, TwinError
from personas.randomness import fold, root_key, standard_normal
from simulator.twins.commands import Wish, fit_command
from simulator.twins.log import log_of
from simulator.twins.private.accountant import Budget, epsilon_of, rho_for
from simulator.twins.private.redraw import redraw
from simulator.twins.private.release import MOST_EVENTS, PLAN, release, system_noise
from tests.simulator.test_twins_model import START, small_log


def no_noise(count: int) -> npt.NDArray[np.float64]:
    return np.zeros(count)


def some_noise(count: int) -> npt.NDArray[np.float64]:
    return standard_normal(fold(root_key("noise", count), np.arange(count)))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-5])
def test_the_budget_is_spent_to_the_last(epsilon: float, delta: float) -> None:
    assert epsilon_of(rho_for(epsilon, delta), delta) == pytest.approx(epsilon)
    budget = Budget.of(epsilon, delta)
    spent = sum(bound**2 / (2 * budget.sigma(share, bound) ** 2) for share, bound in PLAN.values())
    assert spent == pytest.approx(budget.rho) and sum(share for share, _ in PLAN.values()) == pytest.approx(1.0)


def test_a_single_user_s_name_passes_as_seldom_as_promised() -> None:
    budget = Budget.of(1.0, 0.02)
    least = budget.threshold(3.0, 10)
    passed = (1.0 + 3.0 * some_noise(400_000) > least).mean()
    assert passed == pytest.approx(0.01 / 10, rel=0.2)
    assert Budget.of(1.0, 1e-9).threshold(3.0, 10) > least


def greedy(rows: pa.Table) -> pa.Table:
    """One more user, who does as much as anybody can: other names, other items, one session after another."""
    more = [
        {"user_id": "greedy", "session_id": f"g{n // 6}", "ts": START + timedelta(minutes=n),
         "event": f"e{n % 8}" if n % 4 == 3 else "look",
         "item_id": f"own {n % 12}" if n % 5 > 1 else "i1"} for n in range(3000)
    ]  # fmt: skip
    return pa.concat_tables([rows, pa.Table.from_pylist(more, schema=rows.schema)])


def test_no_user_changes_a_histogram_by_more_than_its_bound() -> None:
    """Without noise, the difference of neighbours is what one user adds; names are the same in both."""
    with_them, without = log_of(greedy(small_log(400))), log_of(small_log(400))
    many, few = (release(log, 1e6, 0.5, 40, no_noise) for log in (with_them, without))
    assert many.words == few.words
    for name, (_, bound) in PLAN.items():
        if name in many.histograms:
            size = min(len(many.histograms[name]), len(few.histograms[name]))
            away = math.dist(many.histograms[name][:size], few.histograms[name][:size])
            assert 0 < away <= bound + 0.01 * math.sqrt(size), name
    assert math.dist(many.histograms["pairs"], few.histograms["pairs"]) > 2.0, "it is a user who does a lot"


def test_nobody_counts_for_more_than_so_many_events() -> None:
    log = log_of(greedy(small_log(400)))
    alone = release(replace(log, user=np.zeros(len(log.user), dtype=np.int64), users=1), 1e6, 0.5, 1, no_noise)
    assert alone.histograms["pairs"].sum() <= MOST_EVENTS


def test_what_few_did_is_in_no_word() -> None:
    found = release(log_of(greedy(small_log(400))), 2.0, 1e-6, 5, some_noise)
    assert set(found.words["event"]) <= {"open", "look", "buy"}
    assert set(found.words["item"]) <= {"i0", "i1", "i2", "i3"}


def test_the_log_that_is_drawn_is_like_the_core() -> None:
    table = small_log(3000)
    drawn = redraw(release(log_of(table), 8.0, 1e-6, 5, some_noise), 1)
    for column in ("event", "item_id"):
        ours, theirs = (
            {row["values"]: row["counts"] / source.num_rows for row in source[column].value_counts().to_pylist()}
            for source in (drawn, table)
        )
        for value in ("open", "look", "buy") if column == "event" else ("i0", "i1", "i2", "i3"):
            assert ours[value] == pytest.approx(theirs[value], abs=0.05), value
    assert len(drawn["user_id"].unique()) == pytest.approx(3000, rel=0.1)
    assert drawn["ts"].to_pylist()[0].hour == 9


def test_too_little_for_the_noise_is_told() -> None:
    with pytest.raises(TwinError, match="stands out of the noise"):
        redraw(release(log_of(small_log(30)), 0.1, 1e-8, 5, some_noise), 1)


def test_the_noise_is_normal_and_never_the_same() -> None:
    one, other = system_noise(20_000), system_noise(20_000)
    assert abs(one.mean()) < 0.05 and one.std() == pytest.approx(1.0, abs=0.03)
    assert not np.array_equal(one, other)


def test_fit_says_what_it_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(small_log(600), tmp_path / "core.parquet")
    with pytest.raises(SettingsError, match="made of exact counts"):
        fit_command(Wish(str(tmp_path / "core.parquet"), epsilon=2.0, new_pack=tmp_path / "new"))
    fit_command(Wish(str(tmp_path / "core.parquet"), out=tmp_path / "model", epsilon=4.0))
    said = capsys.readouterr().out
    assert "(4, 0.00017)-differential privacy for each user" in said and "takes exact hashes" in said
    with np.load(tmp_path / "model" / "model.npz") as arrays:
        assert not any(name.startswith("near.") for name in arrays.files)
