"""How far sessions get, and who comes back."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from personas.randomness import F64
from sinks.proof.comparing import Weights
from sinks.proof.evidence import Evidence
from sinks.proof.log import Log, Mask
from sinks.proof.measures.shared import with_floor
from sinks.proof.metric import Figure, Goal, Group

_DAY, _DAYS = 86_400_000_000, 30
#: Users who were seen so many days, in each log, for that number of days to be compared.
_FEWEST = 30


class Funnel:
    """The greatest difference between the shares of sessions that have an event, over all events."""

    name: ClassVar[str] = "funnel"
    group: ClassVar[Group] = "fidelity"
    title: ClassVar[str] = "Share of sessions that reach each event (greatest difference; 0 is equal)"
    goal: ClassVar[Goal] = "lower"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    unit: ClassVar[str] = "difference"
    source: ClassVar[str] = "own: total variation of each step"
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        samples = evidence.samples
        reached = {arm: _reached(log) for arm, log in samples.items()}

        def shares(arm: str, weights: Weights) -> F64:
            drawn = weights[samples[arm].user]
            return np.asarray(drawn @ reached[arm] / max(float(drawn.sum()), 1e-12))

        def difference(arm: str, ours: Weights, theirs: Weights) -> float:
            return float(np.abs(shares(arm, ours) - shares("test", theirs)).max())

        value, floor = with_floor(evidence, difference)
        names = samples["test"].words.events
        order = np.argsort(-shares("test", np.ones(len(samples["test"].users), np.float32)))[:12]
        curves: dict[str, list[object]] = {"events": [names[code] for code in order]}
        for arm in ("synthetic", "test"):
            every = shares(arm, np.ones(len(samples[arm].users), np.float32))
            curves[arm] = [round(float(every[code]), 5) for code in order]
        return Figure(
            value=value,
            floor=floor,
            real=0.0,
            sizes={"synthetic_sessions": samples["synthetic"].sessions, "test_sessions": samples["test"].sessions},
            curves=curves,
        )  # fmt: skip


class ReturnCurve:
    """The greatest difference between the shares of users who are back within 1 to 30 days after their first session;
    for each number of days only users are counted who were seen that long."""

    name: ClassVar[str] = "return_curve"
    group: ClassVar[Group] = "fidelity"
    title: ClassVar[str] = "Share of users who are back within 1 to 30 days (greatest difference; 0 is equal)"
    goal: ClassVar[Goal] = "lower"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    unit: ClassVar[str] = "difference"
    source: ClassVar[str] = "own: retention curves"
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        samples = evidence.samples
        if not samples["test"].returns:
            return "no user of the hold-out comes back"
        back = {arm: _back(log) for arm, log in evidence.real_samples.items()}

        def curve(arm: str, weights: Weights) -> F64:
            days, seen = back[arm]
            grid = np.arange(1, _DAYS + 1)[:, None]
            there = (seen >= grid) * weights
            return np.asarray(((days <= grid) * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1e-9))

        def enough(arm: str) -> Mask:
            return np.asarray((back[arm][1] >= np.arange(1, _DAYS + 1)[:, None]).sum(axis=1) >= _FEWEST)

        if not all((enough(arm) & enough("test")).any() for arm in ("synthetic", "real")):
            return f"too short to tell: no number of days for which {_FEWEST} users of both logs were seen"

        def difference(arm: str, ours: Weights, theirs: Weights) -> float:
            both = enough(arm) & enough("test")
            return float((np.abs(curve(arm, ours) - curve("test", theirs)) * both).max())

        value, floor = with_floor(evidence, difference)
        return Figure(
            value=value,
            floor=floor,
            real=0.0,
            sizes={"synthetic_users": len(samples["synthetic"].users), "test_users": len(samples["test"].users)},
            curves={
                arm: [round(float(share), 5) for share in curve(arm, np.ones(len(samples[arm].users), np.float32))]
                for arm in ("synthetic", "test")
            },
        )  # fmt: skip


def _reached(log: Log) -> F64:
    table = np.zeros((log.sessions, len(log.words.events)))
    table[log.session, log.event] = 1.0
    return table


def _back(log: Log) -> tuple[F64, F64]:
    """Days from each user's first session to the second (infinite where there is none), and to the end of the log."""
    first = np.flatnonzero(np.r_[True, log.user[1:] != log.user[:-1]])
    again = np.flatnonzero(log.number == 1)
    days = np.full(len(log.users), np.inf)
    days[log.user[again]] = (log.began[again] - log.ended[again - 1]) / _DAY
    return days, (log.time.max() - log.ended[first]) / _DAY
