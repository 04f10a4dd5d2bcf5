"""What models scored on the test rows, by *arm*: what each was trained on; and skill, which compares the arms.

    synthetic   trained on the synthetic log (TSTR: Esteban et al. 2017, arXiv:1706.02633)
    real        trained on the core (TRTR)
    trivial     knows only how frequent each answer is in the core
    fresh       trained on one half of the hold-out's users, tested on the other, and the other way round
    reference   trained on half of the core's users: as many as `fresh` had
    markov      trained on a second-order Markov chain of the core: the plain generator that others have to beat
    tenth       trained on a tenth of the core's users
    mix         trained on that tenth and the synthetic log; these two arms only where a tenth is enough to learn from

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
from sinks.proof.sampling import Estimate

ARMS = ("synthetic", "real", "trivial", "fresh", "reference", "markov")
MIXES = ("tenth", "mix")
Weights = npt.NDArray[np.float32]
#: The width of the floor's interval from which on a skill tells little.
BLUNT = 0.4
CANNOT = "cannot be judged here"


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
    def _sorted(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """The rows by their scores, their truth in that order, and where each score begins."""
        order = np.argsort(self.scores, kind="stable")
        return order, self.truth[order], np.flatnonzero(np.diff(self.scores[order], prepend=-np.inf))

    def weighted(self, weights: npt.NDArray[np.floating]) -> float:
        """The area; 0.5 where there is only one class."""
        if not len(self.scores):
            return 0.5
        order, truth, first = self._sorted
        ordered = weights[order].astype(np.float64)
        positive = np.add.reduceat(ordered * truth, first)
        negative = np.add.reduceat(ordered, first) - positive
        total = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative
        return float(positive @ (below + 0.5 * negative) / total) if total > 0 else 0.5


def skill(scores: Scores, weights: Weights, arm: str = "synthetic", against: str = "real") -> float:
    """What an arm is worth between the trivial one (0) and the one it is compared with (1). NaN where the real arm
    itself does not beat the trivial one: there is nothing to learn then."""
    trivial = scores.score("trivial", weights)
    real = scores.score(against, weights) - trivial
    return (scores.score(arm, weights) - trivial) / real if real > 1e-9 else float("nan")


def unreliable(gain: Estimate) -> str:
    """Why no skill can be measured with a core whose model gains so much over the trivial guess; nothing where one can
    be. A skill divides by this gain: where that may as well be nothing, the skill may be anything."""
    if not gain.value > 1e-9:
        return "a model of the core does no better than the trivial guess: there is nothing to learn"
    return "" if gain.low > 0 else f"{CANNOT}: {_said(gain)}, which may as well be nothing"


def blunt(gain: Estimate, floor: Estimate | None = None) -> str:
    """Why a skill that was measured cannot be judged by: the gain that it divides by is known to half of itself only,
    or a second real sample, which is worth 1, gets (`floor`) anything within BLUNT. Nothing where the yardstick is
    sharp."""
    if gain.high - gain.low > gain.value:
        return f"{CANNOT}: {_said(gain)}, too wide to measure with"
    if floor is not None and not floor.high - floor.low <= BLUNT:
        return (
            f"{CANNOT}: a second sample of real users, worth 1, gets {floor.value:.2f} [{floor.low:.2f}, "
            f"{floor.high:.2f}]; the yardstick itself is noise"
        )
    return ""


def _said(gain: Estimate) -> str:
    return f"a model of the core gains {gain.value:.4f} [{gain.low:.4f}, {gain.high:.4f}] over a guess"
