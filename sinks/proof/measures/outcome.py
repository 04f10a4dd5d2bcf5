"""How well a model that learned from the synthetic log tells what becomes of real sessions and users.

Which outcomes there are, and from what each is told: learners/outcome.py.
"""

from __future__ import annotations

from typing import ClassVar

from sinks.proof.evidence import Evidence
from sinks.proof.learners.models import Kind
from sinks.proof.measures.shared import skilled
from sinks.proof.metric import Figure, Goal, Group


class Conversion:
    """Skill in the area under the ROC curve, gradient boosting."""

    name: ClassVar[str] = "outcome_conversion"
    group: ClassVar[Group] = "utility"
    title: ClassVar[str] = "Does the session convert? (AUC, gradient boosting)"
    goal: ClassVar[Goal] = "higher"
    range: ClassVar[tuple[float | None, float | None]] = (None, None)
    unit: ClassVar[str] = "skill"
    source: ClassVar[str] = "TSTR: arXiv:1706.02633; HistGradientBoostingClassifier of scikit-learn"
    needs_holdout: ClassVar[bool] = True
    outcome: ClassVar[str] = "conversion"
    kind: ClassVar[Kind] = "boosting"

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        found = evidence.outcome(self.outcome, self.kind)
        if found is None:
            return "the core has no such outcome, or one answer of it is too rare"
        return skilled(evidence, found, note=f"asked: {evidence.outcomes[self.outcome].what}")


class ConversionLogistic(Conversion):
    """Does the session convert? A plain model."""

    name: ClassVar[str] = "outcome_conversion_logistic"
    title: ClassVar[str] = "Does the session convert? (AUC, logistic regression)"
    source: ClassVar[str] = "TSTR: arXiv:1706.02633; LogisticRegression of scikit-learn"
    kind: ClassVar[Kind] = "logistic"


class LastEvent(Conversion):
    """How does the session end?"""

    name: ClassVar[str] = "outcome_last_event"
    title: ClassVar[str] = "How does the session end? (AUC, gradient boosting)"
    outcome: ClassVar[str] = "last_event"


class LastEventLogistic(LastEvent):
    """How does the session end? A plain model."""

    name: ClassVar[str] = "outcome_last_event_logistic"
    title: ClassVar[str] = "How does the session end? (AUC, logistic regression)"
    source: ClassVar[str] = "TSTR: arXiv:1706.02633; LogisticRegression of scikit-learn"
    kind: ClassVar[Kind] = "logistic"


class LongSession(Conversion):
    """Does the session go on?"""

    name: ClassVar[str] = "outcome_long_session"
    title: ClassVar[str] = "Does the session go on? (AUC, gradient boosting)"
    outcome: ClassVar[str] = "long_session"


class LongSessionLogistic(LongSession):
    """Does the session go on? A plain model."""

    name: ClassVar[str] = "outcome_long_session_logistic"
    title: ClassVar[str] = "Does the session go on? (AUC, logistic regression)"
    source: ClassVar[str] = "TSTR: arXiv:1706.02633; LogisticRegression of scikit-learn"
    kind: ClassVar[Kind] = "logistic"


class Return(Conversion):
    """Does the user come back in time?"""

    name: ClassVar[str] = "outcome_return"
    title: ClassVar[str] = "Does the user come back in time? (AUC, gradient boosting)"
    outcome: ClassVar[str] = "return"


class ReturnLogistic(Return):
    """Does the user come back in time? A plain model."""

    name: ClassVar[str] = "outcome_return_logistic"
    title: ClassVar[str] = "Does the user come back in time? (AUC, logistic regression)"
    source: ClassVar[str] = "TSTR: arXiv:1706.02633; LogisticRegression of scikit-learn"
    kind: ClassVar[Kind] = "logistic"
