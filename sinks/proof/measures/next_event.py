"""How well a model that learned from the synthetic log tells what real users do next."""

from __future__ import annotations

from typing import ClassVar

from sinks.proof.evidence import Evidence
from sinks.proof.learners.models import Kind
from sinks.proof.measures.shared import skilled
from sinks.proof.metric import Figure, Goal, Group


class NextEventAccuracy:
    """Skill in accuracy, next event or end, gradient boosting."""

    name: ClassVar[str] = "next_event_accuracy"
    group: ClassVar[Group] = "utility"
    title: ClassVar[str] = "Next event or end: right guesses (gradient boosting)"
    goal: ClassVar[Goal] = "higher"
    range: ClassVar[tuple[float | None, float | None]] = (None, None)
    unit: ClassVar[str] = "skill"
    source: ClassVar[str] = "TSTR: arXiv:1706.02633; HistGradientBoostingClassifier of scikit-learn"
    needs_holdout: ClassVar[bool] = True
    kind: ClassVar[Kind] = "boosting"
    which: ClassVar[int] = 0

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        return skilled(evidence, evidence.next_event(self.kind)[self.which])


class NextEventLogLoss(NextEventAccuracy):
    """Skill in log-loss: how much probability the truth was given."""

    name: ClassVar[str] = "next_event_log_loss"
    title: ClassVar[str] = "Next event or end: probability given to the truth (log-loss, gradient boosting)"
    which: ClassVar[int] = 1


class NextEventAccuracyLogistic(NextEventAccuracy):
    """The same as NextEventAccuracy with a plain model."""

    name: ClassVar[str] = "next_event_accuracy_logistic"
    title: ClassVar[str] = "Next event or end: right guesses (logistic regression)"
    source: ClassVar[str] = "TSTR: arXiv:1706.02633; LogisticRegression of scikit-learn"
    kind: ClassVar[Kind] = "logistic"


class NextEventLogLossLogistic(NextEventAccuracyLogistic):
    """The same as NextEventLogLoss with a plain model."""

    name: ClassVar[str] = "next_event_log_loss_logistic"
    title: ClassVar[str] = "Next event or end: probability given to the truth (log-loss, logistic regression)"
    which: ClassVar[int] = 1
