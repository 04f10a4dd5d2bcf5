"""What a measurement is: a figure, the raw limit measured beside it, and the goal; as a table for people or as JSON.

Knows nothing of how anything is measured. A goal that is missed is said, never hidden, and is no failure to run.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured value. `raw` is the limit of its parts, in the same unit, measured in the same run; where a smaller
    value is better (`smaller`), goals are upper bounds."""

    part: str
    name: str
    value: float
    unit: str
    raw: float | None = None
    raw_name: str = ""
    goal: float | None = None
    smaller: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Value over raw limit; None without one."""
        return self.value / self.raw if self.raw else None

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None without one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.smaller else self.value >= self.goal


def machine() -> dict[str, Any]:
    """What the figures depend on: processor count, load before, Python, system, time of day (UTC)."""
    return {
        "processors": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def as_json(figures: Sequence[Figure], about: dict[str, Any]) -> str:
    """Everything for machines."""
    rows = [asdict(figure) | {"ratio": figure.ratio, "met": figure.met} for figure in figures]
    return json.dumps({"machine": about, "figures": rows}, indent=2)


def number(value: float | None) -> str:
    """Short for a table: thousands separated, or three significant digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def goal_text(figure: Figure) -> str:
    """The goal and whether it was met."""
    if figure.goal is None:
        return ""
    sign = "≤" if figure.smaller else "≥"
    return f"{sign} {number(figure.goal)}: {'met' if figure.met else 'missed'}"


def show(figures: Sequence[Figure], about: dict[str, Any]) -> None:
    """A table on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("part", "figure"):
        table.add_column(heading, overflow="fold")
    for heading in ("value", "unit", "raw limit", "ratio"):
        table.add_column(heading, justify="left" if heading == "unit" else "right", no_wrap=True)
    for heading in ("of", "goal", "note"):
        table.add_column(heading, overflow="fold")
    before = ""
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        part = "" if figure.part == before else figure.part
        before = figure.part
        table.add_row(
            part, figure.name, number(figure.value), figure.unit, number(figure.raw), ratio, figure.raw_name,
            goal_text(figure), figure.note,
        )  # fmt: skip
    console = Console(width=None if os.isatty(1) else 180, highlight=False)
    console.print(table)
    console.print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items()))
