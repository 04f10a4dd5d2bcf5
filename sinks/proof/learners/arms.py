"""What models scored on the test rows, by *arm*: what each was trained on; and skill, which compares the arms.

    synthetic   trained on the synthetic log (TSTR: Esteban et al. 2017, arXiv:1706.02633)
    real        trained on the core (TRTR)
    trivial     knows only how frequent each answer is in the core
    fresh       trained on one half of the hold-out's users, tested on the other, and the other way round
    reference   trained on half of the core's users: as many as `fresh` had
    markov      trained on a second-order Markov chain of the core: the plain generator that others have to beat

skill = (synthetic - trivial) / (real - trivial); the floor is (fresh - trivial) / (reference - trivial): what a second
real sample of that size is worth where the first is worth 1. All arms are tested on the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from personas.randomness import F64

ARMS = ("synthetic", "real", "trivial", "fresh", "reference", "markov")
Weights = npt.NDArray[np.float32]


class Scores(Protocol):
    """How well each arm did; `weights` counts the users of the test log."""

    rows: int

    def score(self, arm: str, weights: Weights) -> float:
        """The score of an arm; more is better."""
        ...


class Means:
    """Scores that are means over rows: hits, log-likelihoods, reciprocal ranks."""

    def __init__(self, values: Mapping[str, F64], user: npt.NDArray[np.int64], users: int) -> None:
        self.rows = len(user)
        self._count = np.bincount(user, minlength=users).astype(np.float64)
        self._sums = {arm: np.bincount(user, value, minlength=users) for arm, value in values.items()}

    def score(self, arm: str, weights: Weights) -> float:
        """The weighted mean of an arm."""
        return float(weights @ self._sums[arm] / max(float(weights @ self._count), 1e-12))


class Areas:
    """Scores that are areas under the ROC curve: how often a positive row is ranked above a negative one."""

    def __init__(self, values: Mapping[str, F64], truth: npt.NDArray[np.bool_], user: npt.NDArray[np.int64]) -> None:
        self.rows = len(user)
        self._user = user
        self._areas = {arm: Area(value, truth) for arm, value in values.items()}

    def score(self, arm: str, weights: Weights) -> float:
        """The weighted area of an arm."""
        return self._areas[arm].weighted(weights[self._user])


@dataclass(frozen=True, eq=False)
class Area:
    """The area under the ROC curve of fixed scores, for any weights of the rows (ties count half)."""

    scores: F64
    truth: npt.NDArray[np.bool_]

    @cached_property
    def _group(self) -> npt.NDArray[np.int64]:
        return np.unique(self.scores, return_inverse=True)[1]

    def weighted(self, weights: npt.NDArray[np.floating]) -> float:
        """The area; 0.5 where there is only one class."""
        positive = np.bincount(self._group, weights * self.truth)
        negative = np.bincount(self._group, weights * ~self.truth)
        total = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative
        return float(positive @ (below + 0.5 * negative) / total) if total > 0 else 0.5


def skill(scores: Scores, weights: Weights, arm: str = "synthetic", against: str = "real") -> float:
    """What an arm is worth between the trivial one (0) and the one it is compared with (1). NaN where the real arm
    itself does not beat the trivial one: there is nothing to learn then."""
    trivial = scores.score("trivial", weights)
    real = scores.score(against, weights) - trivial
    return (scores.score(arm, weights) - trivial) / real if real > 1e-9 else float("nan")
