"""The words of gates: what a gate is, what it looks at, and what it says.

Two ways were weighed: gates that raise when something is wrong (short; a set that passes then tells nothing), or gates
that always give one figure, which may be as high as a threshold. The figures won: they stand in the papers of every
set, so that a reader sees by how much it passed, and a threshold can be moved without touching code.

A gate is a small class with a name, a sentence, a unit and a default threshold; it passes while its figure is at most
its threshold. Knows no gate by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from sinks.training.task import Column

if TYPE_CHECKING:
    from sinks.database import Database
    from sinks.store import Store

Stage = Literal["runs", "rows"]


@dataclass(frozen=True)
class Evidence:
    """What gates look at. Before the rows are made: the store with the relations of selection.py (`chosen_users_all`,
    `chosen_runs`, `core_events` …). After: also `rows`, a database in memory whose view `made` holds all rows with a
    column `split_of_row`. `allowed` maps `feature` or `feature>label` to the reason for which a task says that the one
    may tell the other."""

    store: Store
    product: str
    columns: tuple[Column, ...] = ()
    rows: Database | None = None
    allowed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """One thing that was found: where (a run, a column, a place), its figure, and what it is in words."""

    where: str
    figure: float
    what: str


@dataclass(frozen=True)
class Verdict:
    """What a gate says: plain data, for people and papers. `found` is what speaks against passing, worst first."""

    gate: str
    stage: Stage
    checks: str
    unit: str
    figure: float
    threshold: float
    found: tuple[Found, ...] = ()
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure is at most the threshold."""
        return bool(self.figure <= self.threshold)  # numpy's own are no JSON

    def told(self) -> dict[str, Any]:
        """For the papers, as JSON; what was found is in the error, where it was not passed."""
        return {
            "gate": self.gate, "checks": self.checks, "figure": float(self.figure), "unit": self.unit,
            "threshold": float(self.threshold), "passed": self.passed, "note": self.note,
        }  # fmt: skip


class Gate(Protocol):
    """One check. Implementations are found by judging.py; tests/contracts/gate.py holds them to this."""

    name: ClassVar[str]
    stage: ClassVar[Stage]
    #: What it looks for, in a sentence; what its figure is; how high it may be.
    checks: ClassVar[str]
    unit: ClassVar[str]
    threshold: ClassVar[float]

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """The figure, what was found (what is above the threshold, at most some twenty), and a note, if there is
        something to say about how it was measured."""
        ...


#: Things found that are told of each gate.
MOST_FOUND = 20


def worst(found: list[Found]) -> tuple[Found, ...]:
    """The worst first, and no more than can be read."""
    return tuple(sorted(found, key=lambda each: (-each.figure, each.where))[:MOST_FOUND])
