"""What an agent remembers: the steps of this visit and a line about each of the last visits, short and deterministic.

Memory is text made from what happened, never by a model: the same visits give the same memory, so a replayed run asks
the same questions. It is bounded, because it is paid for again with every decision: a line per visit, the last few
visits, the last steps. The other way, letting the model summarise, costs a call per visit and invents things.
Knows names of events and titles of items, and no pool.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from simulator.agents.prompt import data

LAST_VISITS = 5
LAST_STEPS = 12
LONGEST_LINE = 220
LONGEST_TITLE = 60
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Step:
    """One event: its name, what it was about (an item's title, a category), the problem that struck, and what the user
    wrote."""

    event: str
    about: str = ""
    problem: str = ""
    words: str = ""

    @cached_property
    def line(self) -> str:
        """The step as text."""
        about = f" “{data(self.about, LONGEST_TITLE)}”" if self.about else ""
        wrote = f", wrote: “{data(self.words, LONGEST_TITLE)}”" if self.words else ""
        went_wrong = f" - went wrong: {self.problem}" if self.problem else ""
        return f"{self.event}{about}{wrote}{went_wrong}"


@dataclass
class Memory:
    """The memory of one user. `visits` are lines about ended visits, with the instant (milliseconds after the start of
    the run) at which each ended; `steps` the visit that is under way."""

    visits: list[tuple[int, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    count: int = 0

    def end(self, *, at: int, intent: str, reached: bool, converted: bool) -> None:
        """The visit under way has ended: it becomes one line."""
        self.count += 1
        self.visits.append((at, summary_of(self.steps, intent=intent, reached=reached, converted=converted)))
        del self.visits[:-LAST_VISITS]
        self.steps = []

    def earlier(self, now: int) -> str:
        """The earlier visits as text, as seen at an instant."""
        if not self.visits:
            return "none: this is the first visit"
        first = self.count - len(self.visits) + 1
        lines = [f"Visit {first + place}, {_ago(now - at)}: {line}" for place, (at, line) in enumerate(self.visits)]
        return "\n".join(lines)

    def so_far(self) -> str:
        """The steps of the visit under way as text."""
        if not self.steps:
            return "nothing yet"
        first = max(0, len(self.steps) - LAST_STEPS)
        return "\n".join(f"{first + place}. {step.line}" for place, step in enumerate(self.steps[first:], start=1))


def summary_of(steps: list[Step], *, intent: str, reached: bool, converted: bool) -> str:
    """One line about a visit: why, the most frequent steps, the first things seen, what went wrong, how it ended."""
    often = Counter(step.event for step in steps).most_common(4)
    done = ", ".join(f"{name} x{times}" if times > 1 else name for name, times in often)
    items = list(dict.fromkeys(step.about for step in steps if step.about))[:3]
    about = f"; saw {', '.join(f'“{data(item, 40)}”' for item in items)}" if items else ""
    wrong = sorted({step.problem for step in steps if step.problem})
    trouble = f"; went wrong: {', '.join(wrong)}" if wrong else ""
    end = "; got what was wanted" if reached else "; left without it"
    return f"came for {intent}; {done}{about}{trouble}{end}{' (converted)' if converted else ''}"[:LONGEST_LINE]


def _ago(milliseconds: int) -> str:
    days = max(0, milliseconds) // DAY_MS
    return "today" if days == 0 else "yesterday" if days == 1 else f"{days} days ago"
