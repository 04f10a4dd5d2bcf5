"""What is fuzzed: a target makes inputs from a seeded generator and judges what our code makes of each.

A target raises Finding where a promise is broken; whatever else it raises is a finding as well. Time and memory are
watched by `campaign.py`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol


@dataclass
class Finding(Exception):
    """A broken promise and the input that broke it."""

    promise: str
    content: bytes

    def __str__(self) -> str:
        return self.promise


class Target(Protocol):
    """Something to be fuzzed. Made once per process; `attempt` is called for each input."""

    def attempt(self, rng: random.Random) -> bytes:
        """Make an input, give it to our code and judge the outcome; the input. Finding where a promise is broken."""
        ...

    def settle(self) -> None:
        """Called after each chunk: whatever is judged for many inputs at once."""
