"""Can a classifier tell synthetic sessions from real ones?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from personas.randomness import F64
from sinks.proof.evidence import Evidence
from sinks.proof.learners.arms import Area
from sinks.proof.log import Log
from sinks.proof.metric import Figure, Goal, Group
from sinks.proof.sampling import Estimate, at_most, bits_of, estimate
from sinks.proof.traits import traits

#: Sessions of each side, and parts of the cross-validation.
SESSIONS, FOLDS = 5_000, 3


class TwoSample:
    """Area under the ROC curve of a boosted classifier, cross-validated by users, between synthetic and hold-out
    sessions: 0.5 is a perfect likeness, 1 a giveaway. The floor is the same between core and hold-out."""

    name: ClassVar[str] = "two_sample"
    group: ClassVar[Group] = "fidelity"
    title: ClassVar[str] = "Can a classifier tell synthetic sessions from real ones? (AUC; 0.5 is no)"
    goal: ClassVar[Goal] = "lower"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    unit: ClassVar[str] = "AUC"
    source: ClassVar[str] = "C2ST: Lopez-Paz, Oquab 2017, arXiv:1610.06545; HistGradientBoostingClassifier"
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        core, holdout = evidence.real
        size = min(SESSIONS, core.sessions, holdout.sessions, evidence.synthetic.sessions)
        synthetic, real, other = (at_most(log, size, evidence.seed) for log in (evidence.synthetic, core, holdout))
        return Figure(
            value=told_apart(evidence, synthetic, other),
            floor=evidence.once_real(("two_sample", size), lambda: told_apart(evidence, real, other)),
            real=0.5,
            sizes={"synthetic_sessions": synthetic.sessions, "test_sessions": other.sessions},
        )


def told_apart(evidence: Evidence, ours: Log, theirs: Log) -> Estimate:
    """How well the sessions of two logs can be told apart; intervals resample the users of both."""
    values = np.concatenate(traits(ours, theirs))
    truth = np.r_[np.ones(ours.sessions, bool), np.zeros(theirs.sessions, bool)]
    fold = np.concatenate([(bits_of(log.users) >> np.uint64(7))[log.user] % np.uint64(FOLDS) for log in (ours, theirs)])
    scores: F64 = np.full(len(truth), 0.5)
    for part in range(FOLDS):
        test = fold == part
        if test.any() and len(np.unique(truth[~test])) == 2:
            model = HistGradientBoostingClassifier(
                max_iter=60, max_leaf_nodes=12, min_samples_leaf=20, l2_regularization=1.0, early_stopping=False,
                random_state=0,
            )  # fmt: skip
            with threadpool_limits(1):
                model.fit(values[~test], truth[~test])
                scores[test] = model.predict_proba(values[test])[:, 1]
    area = Area(scores, truth)
    return estimate(
        lambda one, other: area.weighted(np.r_[one[ours.user], other[theirs.user]]),
        evidence.weights(ours), evidence.weights(theirs),
    )  # fmt: skip
