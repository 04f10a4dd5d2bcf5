"""The seam between conversations and whoever speaks them: what is to be talked about, and what came of it.

By grammar (`plot`) everything is said at once and for nothing; a language model speaks for some users, and may fail or
run out of money in the middle. So a `Speaker` is given cases and gives back what was spoken, or None where the grammar
has to. Plain data; knows no model, no prompt and no message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from personas.event import Audit, Outcome, RejectedAnswer, Turn
from simulator.support.words import Writer


@dataclass(frozen=True)
class Case:
    """One user who writes. `user` is the row in the population, `reason` the problem or event, `happened` the same in
    words; `about` are the help texts that fit it. `words` is what the user has written already, if the product holds
    it. `language` is the one to write in, `sample` a number that tells apart cases that read the same, `flaw` a number
    from 0 to 1 that decides how the worse answer is worse."""

    user: int
    writer: Writer
    reason: str
    happened: str
    about: tuple[str, ...]
    words: str | None
    language: str
    sample: int
    flaw: float


@dataclass(frozen=True)
class Spoken:
    """A conversation that a model has spoken, and its audit."""

    turns: list[Turn]
    outcome: Outcome
    audit: Audit
    rejected: list[RejectedAnswer]


class Speaker(Protocol):
    """Speaks conversations."""

    def speak(self, cases: Sequence[Case]) -> list[Spoken | None]:
        """One for each case; None where it cannot be spoken. May raise Interrupted (see `simulator.choice`)."""
        ...
