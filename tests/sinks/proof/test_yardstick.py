"""A skill is not told of where the yardstick is noise: what a model of the core gains over a guess, and the floor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sinks.proof.learners.arms import Means, blunt, unreliable
from sinks.proof.measures.shared import skilled
from sinks.proof.metric import Figure
from sinks.proof.page import page_of
from sinks.proof.record import LogRecord, Proof, measured
from sinks.proof.registry import all_metrics
from sinks.proof.sampling import Estimate
from sinks.proof.telling import told
from tests.sinks.proof.degrading import aimless
from tests.sinks.proof.good import good


@pytest.mark.parametrize(
    ("gain", "floor", "said"),
    [
        (Estimate(0.2, 0.18, 0.22), Estimate(1.0, 0.9, 1.1), ""),
        (Estimate(0.0, -0.1, 0.1), None, "nothing to learn"),
        (Estimate(0.05, -0.01, 0.11), None, "may as well be nothing"),
        (Estimate(0.05, 0.01, 0.09), None, "too wide"),
        (Estimate(0.07, 0.06, 0.08), Estimate(0.85, 0.61, 1.08), "gets 0.85 [0.61, 1.08]"),
        (Estimate(0.07, 0.06, 0.08), Estimate(1.0, float("nan"), float("nan")), "the yardstick itself is noise"),
    ],
)
def test_a_yardstick_says_whether_it_can_be_measured_with(gain: Estimate, floor: Estimate | None, said: str) -> None:
    found = unreliable(gain) or blunt(gain, floor)
    assert said in found if said else found == ""


def scores(real: float, rows: int) -> Means:
    """Models that are right as often as is said, asked a few times of each of some users."""
    test, draw = good().samples["test"], np.random.default_rng(3)
    user = draw.integers(len(test.users), size=rows)
    alike = ("real", "synthetic", "fresh", "reference", "markov", "tenth", "mix")
    rates = {"trivial": 0.5, **dict.fromkeys(alike, real)}
    values = {arm: (draw.random(rows) < rate).astype(float) for arm, rate in rates.items()}
    return Means(values, user, len(test.users))


def test_a_core_that_a_guess_nearly_equals_gives_no_skill() -> None:
    evidence = replace(good(), replicates=100, _once={}, _of_real={})
    none = skilled(evidence, scores(0.52, 300))
    assert isinstance(none, str) and none.startswith(("cannot be judged here", "a model of the core does no better"))
    sure = skilled(evidence, scores(0.9, 20_000))
    assert isinstance(sure, Figure) and not sure.doubt
    assert sure.parts["gain_low"] < sure.parts["gain"] < sure.parts["gain_high"]
    unsure = skilled(evidence, scores(0.6, 2_000))
    assert isinstance(unsure, Figure) and unsure.doubt.startswith("cannot be judged here")


def test_what_cannot_be_judged_is_said_and_not_counted() -> None:
    evidence = good()
    metric = all_metrics()["outcome_long_session"]
    found = metric.compute(evidence)
    assert isinstance(found, Figure) and "cannot be judged here" in found.doubt
    words = LogRecord(said="s", sessions=1, users=1, events=1, looked_at=1)
    figure = measured(metric, found, evidence.checked)
    proof = Proof(
        dayone="0", checked=evidence.checked, seed=0, replicates=20, logs={"synthetic": words}, figures=[figure],
        absent=[],
    )  # fmt: skip
    page = page_of(proof)
    assert "Not counted: telling whose session goes on (cannot be judged here" in page and "the middle of" not in page
    assert any("cannot be judged here" in line for line in told(proof, Path("proof.html")))


def test_a_tenth_of_the_core_is_judged_alone_and_with_the_synthetic_log() -> None:
    """Other people's sessions of the same truth add to it; with items at random, less than that is added."""
    metric = all_metrics()["next_item_hits"]
    fresh = metric.compute(good())
    blind = metric.compute(replace(good(), synthetic=aimless(good()), _once={}))
    assert isinstance(fresh, Figure) and isinstance(blind, Figure)
    assert fresh.parts["mix_gain_low"] > 0 and fresh.parts["mix_skill"] > fresh.parts["tenth_skill"]
    assert fresh.parts["mix_gain"] == pytest.approx(fresh.parts["mix_skill"] - fresh.parts["tenth_skill"])
    assert blind.parts["tenth_skill"] == fresh.parts["tenth_skill"]
    assert blind.parts["mix_gain_high"] < fresh.parts["mix_gain_low"]


def test_too_small_a_core_has_no_mix() -> None:
    core, _ = good().real
    few = replace(good(), core=core.of_users(np.arange(len(core.users)) < 40), _once={}, _of_real={})
    assert good().mixes and not few.mixes
    found = all_metrics()["next_event_log_loss"].compute(few)
    assert not isinstance(found, Figure) or "mix" not in found.parts
