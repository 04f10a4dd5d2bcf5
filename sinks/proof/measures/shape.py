"""How sessions look: lengths, gaps, hours, runs of events; of all, and of each persona."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from sinks.proof.comparing import Bins, Steps, gram_sessions, pooled_grams
from sinks.proof.evidence import Evidence
from sinks.proof.learners.coding import hour_of, weekday_of
from sinks.proof.log import I64, Log
from sinks.proof.metric import Figure, Goal, Group
from sinks.proof.sampling import estimate

_FEWEST = 50
Pairs = Callable[[Log, Log], "Steps | Bins | None"]


def against_holdout(evidence: Evidence, compared: Pairs) -> Figure | str:
    """The distance of the synthetic log from the hold-out; the floor is that of the core."""
    arms = evidence.samples
    found = {arm: compared(arms[arm], arms["test"]) for arm in ("synthetic", "real")}
    if found["synthetic"] is None or found["real"] is None:
        return "too little of it in these logs"
    value, floor = (
        estimate(
            each.distance if isinstance(each, Steps) else each.divergence,  # type: ignore[union-attr]
            evidence.weights(arms[arm]), evidence.weights(arms["test"]),
        )
        for arm, each in found.items()
    )  # fmt: skip
    return Figure(
        value=value, floor=floor, real=0.0,
        sizes={"synthetic_sessions": arms["synthetic"].sessions, "test_sessions": arms["test"].sessions},
    )  # fmt: skip


class SessionLength:
    """Kolmogorov-Smirnov distance of the numbers of events in a session."""

    name: ClassVar[str] = "session_length"
    group: ClassVar[Group] = "fidelity"
    title: ClassVar[str] = "Lengths of sessions (Kolmogorov-Smirnov distance; 0 is equal)"
    goal: ClassVar[Goal] = "lower"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    unit: ClassVar[str] = "distance"
    source: ClassVar[str] = (
        "two-sample Kolmogorov-Smirnov statistic, as scipy.stats.ks_2samp (KSComplement of SDMetrics)"
    )
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        figure = against_holdout(evidence, _lengths)
        if isinstance(figure, Figure):
            for arm, log in (("synthetic", evidence.samples["synthetic"]), ("real", evidence.samples["test"])):
                shares = np.bincount(np.minimum(log.length, 30), minlength=31)[1:] / log.sessions
                figure.curves[arm] = [round(float(share), 5) for share in shares]
                figure.parts[f"{arm}_mean"] = float(log.length.mean())
        return figure


class Gaps(SessionLength):
    """Kolmogorov-Smirnov distance of the seconds between events of a session."""

    name: ClassVar[str] = "gaps"
    title: ClassVar[str] = "Seconds between events (Kolmogorov-Smirnov distance; 0 is equal)"

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        if not (evidence.real[0].timed or evidence.synthetic.timed):
            return "times are whole days"
        return against_holdout(evidence, _gaps)


class SessionLengthByPersona(SessionLength):
    """The same for the persona that fits worst, of those with enough sessions on both sides."""

    name: ClassVar[str] = "session_length_by_persona"
    title: ClassVar[str] = "Lengths of sessions of the persona that fits worst (Kolmogorov-Smirnov distance)"

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        worst: Figure | None = None
        parts = {}
        for code, persona in enumerate(evidence.synthetic.words.personas):

            def compared(ours: Log, theirs: Log, code: int = code) -> Steps | None:
                both = [log.persona == code for log in (ours, theirs)]
                return _lengths(ours, theirs, *both) if min(each.sum() for each in both) >= _FEWEST else None

            figure = against_holdout(evidence, compared)
            if isinstance(figure, Figure):
                parts[persona] = figure.value.value
                worst = figure if worst is None or figure.value.value > worst.value.value else worst
        if worst is None:
            return "the logs have no personas in common, or too few sessions of each"
        worst.parts.update(parts)
        return worst


class HourOfWeek(SessionLength):
    """Jensen-Shannon divergence of the hours of the week at which sessions begin."""

    name: ClassVar[str] = "hour_of_week"
    title: ClassVar[str] = "Hours of the week at which sessions begin (Jensen-Shannon divergence; 0 is equal)"
    unit: ClassVar[str] = "bits"
    source: ClassVar[str] = "Jensen-Shannon divergence, as scipy.spatial.distance.jensenshannon squared; Lin 1991"

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        return against_holdout(
            evidence,
            lambda ours, theirs: Bins(
                _hours(ours), ours.user, len(ours.users), _hours(theirs), theirs.user, len(theirs.users)
            ),
        )


class EventPairs(HourOfWeek):
    """Jensen-Shannon divergence of pairs of consecutive events, with beginning and end."""

    name: ClassVar[str] = "event_pairs"
    title: ClassVar[str] = "Pairs of consecutive events (Jensen-Shannon divergence; 0 is equal)"
    grams: ClassVar[int] = 2

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""

        def compared(ours: Log, theirs: Log) -> Bins:
            codes = pooled_grams(
                [log.event.astype(np.int64) for log in (ours, theirs)],
                [log.length for log in (ours, theirs)],
                self.grams,
            )
            user, other = (log.user[gram_sessions(log.length)] for log in (ours, theirs))
            return Bins(codes[0], user, len(ours.users), codes[1], other, len(theirs.users))

        return against_holdout(evidence, compared)


class EventTriples(EventPairs):
    """Jensen-Shannon divergence of runs of three events, with beginning and end."""

    name: ClassVar[str] = "event_triples"
    title: ClassVar[str] = "Runs of three events (Jensen-Shannon divergence; 0 is equal)"
    grams: ClassVar[int] = 3


def _lengths(
    ours: Log,
    theirs: Log,
    mine: np.ndarray[tuple[int], np.dtype[np.bool_]] | slice = slice(None),
    other: np.ndarray[tuple[int], np.dtype[np.bool_]] | slice = slice(None),
) -> Steps:
    return Steps(
        ours.length[mine].astype(np.float64),
        ours.user[mine],
        theirs.length[other].astype(np.float64),
        theirs.user[other],
    )


def _gaps(ours: Log, theirs: Log) -> Steps | None:
    inner = [np.isfinite(log.gap) for log in (ours, theirs)]
    if min(each.sum() for each in inner) < _FEWEST:
        return None
    values = [log.gap[rows] for log, rows in zip((ours, theirs), inner, strict=True)]
    users = [log.user[log.session[rows]] for log, rows in zip((ours, theirs), inner, strict=True)]
    return Steps(values[0], users[0], values[1], users[1])


def _hours(log: Log) -> I64:
    return weekday_of(log.began) * 24 + hour_of(log.began)
