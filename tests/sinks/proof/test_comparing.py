"""Our distances are those of SciPy and scikit-learn, where all weights are 1."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from sinks.proof.comparing import Bins, Steps, gini, grams
from sinks.proof.learners.arms import Area

DRAW = np.random.default_rng(7)


def test_steps_are_the_statistic_of_kolmogorov_and_smirnov() -> None:
    ours, theirs = DRAW.integers(0, 9, 300).astype(float), DRAW.integers(1, 12, 200).astype(float)
    steps = Steps(ours, np.arange(300), theirs, np.arange(200))
    assert steps.distance(np.ones(300, np.float32), np.ones(200, np.float32)) == pytest.approx(
        ks_2samp(ours, theirs).statistic
    )
    weights = DRAW.integers(0, 3, 300)
    assert steps.distance(weights.astype(np.float32), np.ones(200, np.float32)) == pytest.approx(
        ks_2samp(np.repeat(ours, weights), theirs).statistic
    )


def test_bins_diverge_as_jensen_and_shannon_say() -> None:
    ours, theirs = DRAW.integers(0, 6, 400), DRAW.integers(2, 9, 300)
    bins = Bins(ours, np.arange(400), 400, theirs, np.arange(300), 300)
    counts = [np.bincount(each, minlength=9) / len(each) for each in (ours, theirs)]
    assert bins.divergence(np.ones(400, np.float32), np.ones(300, np.float32)) == pytest.approx(
        jensenshannon(*counts, base=2) ** 2
    )


def test_areas_are_those_of_scikit_learn_with_weights_and_ties() -> None:
    scores, truth = DRAW.integers(0, 20, 500).astype(float), DRAW.random(500) < 0.4
    weights = DRAW.integers(0, 4, 500).astype(float)
    assert Area(scores, truth).weighted(weights) == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights))


def test_gini_of_equals_is_nothing_and_of_one_owner_nearly_all() -> None:
    assert gini(np.ones(10)) == pytest.approx(0)
    assert gini(np.r_[np.zeros(99), 1.0]) == pytest.approx(0.99)


def test_runs_are_equal_exactly_where_their_tokens_are() -> None:
    codes = grams(np.array([1, 2, 3, 1, 2, 2]), np.array([3, 2, 1]), 3)
    assert len(codes) == 9  # as many as tokens and ends
    assert codes[0] == codes[4] and codes[1] == codes[5]  # two sessions begin alike
    assert codes[2] != codes[6]  # one goes on, the other ends
    assert len(set(codes.tolist())) == 7
