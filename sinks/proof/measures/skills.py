"""What the measures of utility share: a skill with its interval and its floor. Defines no measure."""

from __future__ import annotations

import numpy as np

from sinks.proof.evidence import Evidence
from sinks.proof.learners.arms import ARMS, Scores, skill
from sinks.proof.metric import Figure
from sinks.proof.sampling import estimate


def skilled(evidence: Evidence, scores: Scores, note: str = "") -> Figure | str:
    """The figure of a task. The intervals resample the users of the test log; how the training logs were drawn is not
    in them, but the floor shows it."""
    test = evidence.samples["test"]
    weights = evidence.weights(test)
    all_ones = np.ones(len(test.users), np.float32)
    parts = {arm: scores.score(arm, all_ones) for arm in ARMS}
    if parts["real"] - parts["trivial"] <= 1e-9:
        return "a model of the core does no better than the trivial guess: there is nothing to learn"
    return Figure(
        value=estimate(lambda drawn: skill(scores, drawn), weights),
        floor=estimate(lambda drawn: skill(scores, drawn, "fresh", "reference"), weights),
        real=parts["real"],
        trivial=parts["trivial"],
        sizes={
            "test_rows": scores.rows, "test_users": len(test.users),
            "synthetic_sessions": evidence.samples["synthetic"].sessions,
            "core_sessions": evidence.samples["real"].sessions,
        },
        parts=parts,
        note=note,
    )  # fmt: skip
