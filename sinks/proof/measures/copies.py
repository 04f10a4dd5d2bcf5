"""Are real sessions in the synthetic log, or nearly? Beside what a second real sample shows of the same kind.

None of these makes a log private: they find some ways in which it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from personas.randomness import F64
from sinks.proof.comparing import Weights
from sinks.proof.evidence import Evidence
from sinks.proof.likeness import fingerprints, nearest, vectors
from sinks.proof.log import Log
from sinks.proof.metric import Figure, Goal, Group
from sinks.proof.sampling import Estimate, at_most, coverage, estimate, folds

#: Sessions of each log whose nearest ones are looked for, and sessions at most that are searched for each; sessions
#: shorter than the last are alike by chance.
SESSIONS, SEARCHED, SHORTEST = 4_000, 200_000, 4
#: Up to this distance one session is nearly another.
NEAR = 0.1


class ExactCopies:
    """Share of the synthetic sessions with at least four events that a core session equals, event by event and item by
    item, less the share of the hold-out sessions of which that is true."""

    name: ClassVar[str] = "exact_copies"
    group: ClassVar[Group] = "privacy"
    title: ClassVar[str] = "Sessions copied from the core, above what the hold-out shows by chance"
    goal: ClassVar[Goal] = "lower"
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    unit: ClassVar[str] = "share of sessions"
    source: ClassVar[str] = "identical match share, against a hold-out: Platzer, Reutterer 2021, arXiv:2104.00635"
    needs_holdout: ClassVar[bool] = True
    rare: ClassVar[bool] = False

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        core, holdout = evidence.real
        known, counts = np.unique(fingerprints(core), return_counts=True)
        if self.rare:
            others, holdout = folds(holdout, evidence.seed)
            known = known[(counts == 1) & ~np.isin(known, fingerprints(others))]
        copied = {"synthetic": np.isin(fingerprints(evidence.synthetic), known)}
        copied["holdout"] = np.isin(fingerprints(holdout), known)
        logs = {"synthetic": evidence.synthetic, "holdout": holdout}
        long = {name: log.length >= SHORTEST for name, log in logs.items()}
        if not all(each.any() for each in long.values()):
            return f"no session has {SHORTEST} events"

        def share(name: str, weights: Weights) -> float:
            drawn = weights[logs[name].user] * long[name]
            return float(drawn @ copied[name] / max(float(drawn.sum()), 1e-12))

        ones = {name: np.ones(len(log.users), np.float32) for name, log in logs.items()}
        return Figure(
            value=estimate(
                lambda one, two: share("synthetic", one) - share("holdout", two),
                evidence.weights(evidence.synthetic), evidence.weights(holdout),
            ),
            floor=Estimate(0.0, 0.0, 0.0),
            sizes={f"{name}_sessions": int(each.sum()) for name, each in long.items()},
            parts={name: share(name, ones[name]) for name in logs},
        )  # fmt: skip


class RareCopies(ExactCopies):
    """The same for core sessions that are in the core once and not in one half of the hold-out; the other half shows
    how often that happens by chance."""

    name: ClassVar[str] = "rare_copies"
    title: ClassVar[str] = "Sessions copied from the core that nobody else has, above what the hold-out shows"
    rare: ClassVar[bool] = True


class NearCopies:
    """Share of the synthetic sessions with a core session closer than 0.1, less that of the hold-out sessions."""

    name: ClassVar[str] = "near_copies"
    group: ClassVar[Group] = "privacy"
    title: ClassVar[str] = "Sessions nearly copied from the core, above what the hold-out shows by chance"
    goal: ClassVar[Goal] = "lower"
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    unit: ClassVar[str] = "share of sessions"
    source: ClassVar[str] = "distance to closest record, against a hold-out: arXiv:2104.00635; cosine of token counts"
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        return _distances(evidence).figure(lambda ours, theirs: (ours <= NEAR).astype(np.float64))


class ClosestRecord(NearCopies):
    """Share of synthetic sessions that are closer to the core than to the hold-out, ties counting half."""

    name: ClassVar[str] = "closest_record"
    title: ClassVar[str] = "Synthetic sessions closer to the core than to the hold-out (0.5: no closer to who taught)"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    source: ClassVar[str] = (
        "DCR share: Platzer, Reutterer 2021, arXiv:2104.00635; DCROverfittingProtection of SDMetrics"
    )

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        found = _distances(evidence)
        taught, other = found.fair
        closer = (taught < other) + 0.5 * (taught == other)
        user = found.synthetic.user

        def share(weights: Weights) -> float:
            return float(weights[user] @ closer / max(float(weights[user].sum()), 1e-12))

        return Figure(
            value=estimate(share, evidence.weights(found.synthetic)),
            real=0.5,
            sizes=found.sizes,
            parts={
                "median_to_core": float(np.median(taught)),
                "median_to_holdout": float(np.median(other)),
            },
            note=found.fair_note,
        )


class NearestRatio(NearCopies):
    """Distance to the nearest core session over that to the second nearest: near 0 where one real session stands out as
    the model of a synthetic one. The mean of the synthetic sessions less that of the hold-out sessions."""

    name: ClassVar[str] = "nearest_ratio"
    title: ClassVar[str] = (
        "Nearest over second nearest core session, less the same of the hold-out (below 0 is close to one)"
    )
    goal: ClassVar[Goal] = "higher"
    unit: ClassVar[str] = "difference of means"
    source: ClassVar[str] = "nearest neighbour distance ratio: Platzer, Reutterer 2021, arXiv:2104.00635"

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        return _distances(evidence).figure(
            lambda ours, second: np.where(second > 0, ours / np.maximum(second, 1e-12), 1.0)
        )


class _Distances:
    """Distances of sampled synthetic and hold-out sessions to their two nearest sessions of the whole core, of sessions
    that are long enough. Only what is looked for is a sample: a copy whose original is not searched would not be seen.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        core, holdout = (_long(log) for log in evidence.real)
        synthetic = _long(evidence.synthetic)
        searched = at_most(core, SEARCHED, evidence.seed)
        self.synthetic, self.holdout = (at_most(log, SESSIONS, evidence.seed) for log in (synthetic, holdout))
        table, taught, other = vectors(self.synthetic, searched, self.holdout)
        self.to_core, self.of_holdout = nearest(table, taught, 2), nearest(other, taught, 2)
        self.note = coverage({"core": (core, searched)})
        self.sizes = {
            "synthetic_sessions": self.synthetic.sessions, "core_sessions": searched.sessions,
            "holdout_sessions": self.holdout.sessions,
        }  # fmt: skip
        # Of two samples of the same people the larger one is closer, so whoever asks which is closer needs equal ones.
        size = min(core.sessions, holdout.sessions, SEARCHED)
        equal = [at_most(log, size, evidence.seed) for log in (core, holdout)]
        table, *tables = vectors(self.synthetic, *equal)
        self.fair = [nearest(table, each, 1)[:, 0] for each in tables]
        self.fair_note = coverage({"core": (core, equal[0]), "hold-out": (holdout, equal[1])})

    def figure(self, of: Callable[[F64, F64], F64]) -> Figure:
        """The mean of a number that is made of the distances to the nearest and the second nearest core session, of
        the synthetic sessions less that of the hold-out."""
        ours, theirs = of(*self.to_core.T[:2]), of(*self.of_holdout.T[:2])
        logs = self.synthetic, self.holdout

        def mean(values: F64, log: Log, weights: Weights) -> float:
            return float(weights[log.user] @ values / max(float(weights[log.user].sum()), 1e-12))

        return Figure(
            value=estimate(
                lambda one, two: mean(ours, logs[0], one) - mean(theirs, logs[1], two),
                *(self._evidence.weights(log) for log in logs),
            ),
            floor=Estimate(0.0, 0.0, 0.0),
            sizes=self.sizes,
            parts={"synthetic": float(ours.mean()), "holdout": float(theirs.mean())},
            note=self.note,
        )


def _distances(evidence: Evidence) -> _Distances:
    return evidence.once("distances", lambda: _Distances(evidence))


def _long(log: Log) -> Log:
    long = log.length >= SHORTEST
    return log.take(long) if long.any() else log
