"""Can an attacker who has the synthetic log tell who was in the core?

The attacker knows whole sessions, of which some were in the core and some were not, and guesses by three signs:

    nearest      how close the nearest synthetic session is
    density      how close the five nearest are, against the five nearest of other real sessions (DOMIAS: van Breugel
                 et al. 2023, arXiv:2302.12580)
    likelihood   how much more probable a model of the synthetic log makes the session than one of other real sessions

The figure is the best of the three, and so is the floor, where real sessions of other people stand for the synthetic
ones: the best of three is above 0.5 by chance.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sinks.proof.evidence import NOT_INDEPENDENT, Evidence
from sinks.proof.learners.arms import Area
from sinks.proof.likeness import Counted, nearest, vectors
from sinks.proof.log import Log
from sinks.proof.metric import Figure, Goal, Group
from sinks.proof.sampling import Estimate, at_most, coverage, estimate, folds

#: Members, and as many others, at most; sessions at most that are searched for each of them. Only the targets are a
#: sample: a member whose copy is not searched would look like a stranger. Costs 16 s at 47,000 sessions, in proportion.
TARGETS, SEARCHED = 3_000, 200_000


class Membership:
    """Area under the ROC curve of the best of three attacks: 0.5 is no better than a coin."""

    name: ClassVar[str] = "membership"
    group: ClassVar[Group] = "privacy"
    title: ClassVar[str] = "Can an attacker tell whose sessions were in the core? (AUC; 0.5 is no)"
    goal: ClassVar[Goal] = "lower"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    unit: ClassVar[str] = "AUC"
    source: ClassVar[str] = "membership inference: van Breugel et al. 2023, arXiv:2302.12580; best of three attacks"
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        if evidence.taught:
            return NOT_INDEPENDENT
        core, holdout = evidence.real
        others, known = folds(holdout, evidence.seed + 1)
        fresh, rest = folds(known, evidence.seed + 2)
        searched = at_most(evidence.synthetic, SEARCHED, evidence.seed)
        found, parts, sizes = attacked(evidence, searched, core, others, known)
        floor, floor_parts, _ = attacked(evidence, fresh, core, others, rest)
        return Figure(
            value=found, floor=floor, real=0.5, sizes=sizes,
            parts={**parts, **{f"floor_{name}": value for name, value in floor_parts.items()}},
            note=coverage({"synthetic": (evidence.synthetic, searched)}),
        )  # fmt: skip


def attacked(
    evidence: Evidence, synthetic: Log, core: Log, others: Log, known: Log
) -> tuple[Estimate, dict[str, float], dict[str, int]]:
    """The best attack's area with its interval, the area of each attack, and what was looked at. `others` were not in
    the core, `known` are real sessions that the attacker has besides."""
    size = min(TARGETS, core.sessions, others.sessions)
    members, strangers = at_most(core, size, evidence.seed), at_most(others, size, evidence.seed)
    made, reference = synthetic, at_most(known, SEARCHED, evidence.seed)
    ours, theirs, table, real = vectors(members, strangers, made, reference)
    signs: dict[str, list[np.ndarray[tuple[int], np.dtype[np.float64]]]] = {
        "nearest": [],
        "density": [],
        "likelihood": [],
    }
    of_made, of_reference = Counted(made), Counted(reference)
    for rows, log in ((ours, members), (theirs, strangers)):
        close = nearest(rows, table, 5)
        signs["nearest"].append(-close[:, 0])
        signs["density"].append(nearest(rows, real, 5).mean(axis=1) - close.mean(axis=1))
        signs["likelihood"].append(of_made.per_session(log) - of_reference.per_session(log))
    truth = np.r_[np.ones(members.sessions, bool), np.zeros(strangers.sessions, bool)]
    areas = {name: Area(np.concatenate(each), truth) for name, each in signs.items()}
    best = max(areas, key=lambda name: areas[name].weighted(np.ones(len(truth))))
    value = estimate(
        lambda one, two: areas[best].weighted(np.r_[one[members.user], two[strangers.user]]),
        evidence.weights(members), evidence.weights(strangers),
    )  # fmt: skip
    sizes = {
        "members": members.sessions, "others": strangers.sessions, "synthetic_sessions": made.sessions,
        "known_sessions": reference.sessions,
    }  # fmt: skip
    return value, {name: area.weighted(np.ones(len(truth))) for name, area in areas.items()}, sizes
