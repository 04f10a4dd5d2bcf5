"""Seeded chance for faults: which moment comes next, and when. Counter-based, as all randomness here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Chance:
    """Draws by name: the same seed and the same words give the same number, whatever was drawn before."""

    seed: int

    def uniform(self, *words: object) -> float:
        """At least 0, below 1."""
        digest = hashlib.sha256("/".join(map(str, (self.seed, *words))).encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56

    def between(self, low: int, high: int, *words: object) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.uniform(*words) * (high - low + 1))

    def shuffled(self, things: Sequence[T], *words: object) -> list[T]:
        """The same things in another order."""
        places = sorted(range(len(things)), key=lambda place: self.uniform(*words, place))
        return [things[place] for place in places]
