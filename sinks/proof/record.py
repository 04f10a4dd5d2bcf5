"""proof.json: everything that a proof found, as plain data with a schema. `dayone prove --schema` prints that.

The same logs, seeds and versions give the same file: nothing in it tells when it was made. Knows no log.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from personas.errors import ProofError
from sinks.proof.evidence import Checked
from sinks.proof.metric import Figure, Metric
from sinks.proof.sampling import Estimate

FORMAT = 2
FILE, PAGE = "proof.json", "proof.html"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Part):
    """A value with its 95 % bootstrap interval over users; null where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Measured(_Part):
    """One figure. `floor` is what a fresh real sample gets; `real` and `trivial` are raw scores of the core and of a
    guess, where the value is a skill, and what is ideal otherwise."""

    metric: str
    group: Literal["utility", "fidelity", "diversity", "privacy"]
    title: str
    goal: Literal["higher", "lower", "close"]
    unit: str
    source: str
    checked: Checked
    value: Interval
    floor: Interval | None = None
    real: float | None = None
    trivial: float | None = None
    sizes: dict[str, int]
    parts: dict[str, float | None] = {}
    curves: dict[str, list[Any]] = {}
    note: str = ""
    doubt: str = Field("", description="Why the figure cannot be judged by, although it could be computed")


class Absent(_Part):
    """A measure that has no figure, and why."""

    metric: str
    group: str
    title: str
    reason: str


class LogRecord(_Part):
    """A log that was looked at, as a whole; `looked_at` counts the sessions that most measures took."""

    said: str
    sessions: int
    users: int
    events: int
    looked_at: int
    files: list[dict[str, Any]] = []
    runs: list[str] = []


class Judged(_Part):
    """What a gate says: the rule in words, the figure, and whether it is kept."""

    metric: str
    rule: str
    threshold: float | None
    value: Interval | None
    passed: bool
    why: str = ""


class Point(_Part):
    """One point of a curve: what the models or data there are worth, from how many sessions and users."""

    x: float
    label: str
    skills: dict[str, Interval]
    tail_coverage: float | None = None
    catalogue_coverage: float | None = None
    sessions: int
    users: int = 0


class Curve(_Part):
    """A line of points, for the charts of collapse and of day zero to day N."""

    name: str
    points: list[Point]


class Gain(_Part):
    """What a point has over another in a task: the difference of skills, with its own interval. On a curve of growth,
    *both* over *real alone* at `x`, with so many real users; on one of collapse, the last generation over the first."""

    task: str
    line: str
    x: float
    label: str
    users: int
    value: Interval


class Proof(_Part):
    """All of a proof."""

    format: int = FORMAT
    dayone: str
    checked: Checked
    seed: int
    replicates: int = Field(description="Bootstrap replicates behind each interval")
    logs: dict[str, LogRecord]
    figures: list[Measured]
    absent: list[Absent]
    gates: list[Judged] = []
    collapse: list[Curve] = []
    collapse_gains: list[Gain] = []
    collapse_said: list[str] = []
    growth: list[Curve] = []
    growth_gains: list[Gain] = []
    growth_said: list[str] = []
    notes: list[str] = []

    @property
    def passed(self) -> bool | None:
        """Whether all gates are passed; None where there were none."""
        return all(gate.passed for gate in self.gates) if self.gates else None


def measured(metric: Metric, figure: Figure, checked: Checked) -> Measured:
    """A figure as plain data, rounded to what it can bear."""
    return Measured(
        metric=metric.name, group=metric.group, title=metric.title, goal=metric.goal, unit=metric.unit,
        source=metric.source, checked=checked, value=interval(figure.value),
        floor=None if figure.floor is None else interval(figure.floor), real=rounded(figure.real),
        trivial=rounded(figure.trivial), sizes=figure.sizes,
        parts={name: rounded(value) for name, value in figure.parts.items()}, curves=figure.curves, note=figure.note,
        doubt=figure.doubt,
    )  # fmt: skip


def interval(found: Estimate) -> Interval:
    """An estimate as plain data."""
    return Interval(value=rounded(found.value), low=rounded(found.low), high=rounded(found.high))


def rounded(value: float | None) -> float | None:
    """Six decimals; None for what is no number."""
    return None if value is None or not math.isfinite(value) else round(float(value), 6) + 0.0


def read_proof(folder: Path) -> Proof:
    """The proof in a folder. ProofError where there is none, or it is of another form."""
    path = folder / FILE
    try:
        return Proof.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ProofError(f"{path} cannot be read ({error.strerror}).", hint="`dayone prove` makes one.") from error
    except ValidationError as error:
        first: Any = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ProofError(f"{path}: {place}: {first['msg']}.", hint="Make it again with `dayone prove`.") from error
