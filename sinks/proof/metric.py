"""The words of measures: what a measure is, and the figure that it gives.

Two ways were weighed: functions with a table of their names and goals beside them (two places that can differ), or one
small class for each, found by itself (`measures/`). The classes won; what several share is functions in their module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from sinks.proof.evidence import Evidence
from sinks.proof.sampling import Estimate

Group = Literal["utility", "fidelity", "diversity", "privacy"]
#: Where better lies: higher, lower, or close to a number (`close`, to what the hold-out has: see `Figure.real`).
Goal = Literal["higher", "lower", "close"]


@dataclass(frozen=True)
class Figure:
    """What a measure found. `floor` is what a fresh real sample gets; `real` and `trivial` what the core and a guess
    get, where it is a skill, and what the hold-out has, where the goal is `close`. `sizes` counts what was looked at,
    `parts` are numbers behind the figure, `curves` lists to be drawn. `doubt`: why the figure cannot be judged by."""

    value: Estimate
    floor: Estimate | None = None
    real: float | None = None
    trivial: float | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    note: str = ""
    doubt: str = ""


class Metric(Protocol):
    """One measure. tests/contracts/metric.py holds every one to this."""

    name: ClassVar[str]
    group: ClassVar[Group]
    #: For people: what is measured, in a short sentence.
    title: ClassVar[str]
    goal: ClassVar[Goal]
    #: The least and the greatest value there can be; None is no limit.
    range: ClassVar[tuple[float | None, float | None]]
    unit: ClassVar[str]
    #: Where the measure comes from: a paper, a library, or `own`, with what it does.
    source: ClassVar[str]
    #: Whether it can only speak where there is a real hold-out.
    needs_holdout: ClassVar[bool]

    def compute(self, evidence: Evidence) -> Figure | str:
        """The figure, or the reason why there is none."""
        ...
