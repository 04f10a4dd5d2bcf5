"""What measures share: skills and distances with their interval and their floor. Defines no measure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sinks.proof.evidence import Evidence
from sinks.proof.learners.arms import ARMS, MIXES, Scores, Weights, blunt, skill, unreliable
from sinks.proof.metric import Figure
from sinks.proof.sampling import Estimate, estimate


def skilled(evidence: Evidence, scores: Scores, note: str = "") -> Figure | str:
    """The figure of a task. The intervals resample the users of the test log; how the training logs were drawn is not
    in them, but the floor shows it."""
    test = evidence.samples["test"]
    weights = evidence.weights(test)
    all_ones = np.ones(len(test.users), np.float32)
    parts = {arm: scores.score(arm, all_ones) for arm in (*ARMS, *(MIXES if evidence.mixes else ()))}
    gain = estimate(lambda drawn: scores.score("real", drawn) - scores.score("trivial", drawn), weights)
    if reason := unreliable(gain):
        return reason
    parts |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
    parts["markov_skill"] = skill(scores, all_ones, "markov")
    if evidence.mixes:
        added = estimate(lambda drawn: skill(scores, drawn, "mix") - skill(scores, drawn, "tenth"), weights)
        parts |= {f"{arm}_skill": skill(scores, all_ones, arm) for arm in MIXES}
        parts |= {"mix_gain": added.value, "mix_gain_low": added.low, "mix_gain_high": added.high}
    if min(parts["synthetic"], parts["real"]) > 0:  # likelihoods have no ratio
        parts["ratio"] = parts["synthetic"] / parts["real"]
    floor = estimate(lambda drawn: skill(scores, drawn, "fresh", "reference"), weights)
    return Figure(
        value=estimate(lambda drawn: skill(scores, drawn), weights),
        floor=floor,
        real=parts["real"],
        trivial=parts["trivial"],
        sizes={
            "test_rows": scores.rows, "test_users": len(test.users),
            "synthetic_sessions": evidence.samples["synthetic"].sessions,
            "core_sessions": evidence.samples["real"].sessions,
        },
        parts=parts,
        note=note,
        doubt=blunt(gain, floor),
    )  # fmt: skip


def with_floor(evidence: Evidence, compared: Callable[[str, Weights, Weights], float]) -> tuple[Estimate, Estimate]:
    """What compares an arm (`synthetic` or `real`) with the test log, given weights of the users of both: the value of
    the synthetic log, and as its floor that of the core."""
    samples = evidence.samples
    theirs = evidence.weights(samples["test"])
    value, floor = (
        estimate(lambda ours, other, arm=arm: compared(arm, ours, other), evidence.weights(samples[arm]), theirs)
        for arm in ("synthetic", "real")
    )
    return value, floor
