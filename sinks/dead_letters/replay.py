"""Which letters go to their topics again and which stay, with the reason; and the going.

May know letters, the judge and (as a callable) how letters are sent. Two orders were weighed for sending and marking:
mark first, and a crash between the two loses a letter; send first, and a crash sends it twice. Chosen: send first, for
an event that is stored already is left out by its id. What no replay can do is put a message back where it was: it
comes behind everything that its user did since.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sinks.dead_letters.judge import Judge, Verdict
from sinks.dead_letters.letter import Letter

ORDER_NOTE = (
    "A replayed message comes behind everything on its partition: topics do not keep the order within its user, "
    "the database does, by time and sequence."
)


@dataclass(frozen=True)
class Choice:
    """A letter, what a sink would say to it, and why it stays (empty: it goes)."""

    letter: Letter
    verdict: Verdict
    stays: str = ""


def choose(
    letters: Iterable[Letter], judge: Judge, *, mended: bytes | None = None, force: bool = False, again: bool = False
) -> list[Choice]:
    """Judge letters, each with `mended` in the place of its value where that is given.

    A letter of which something was cut never goes, unless what was cut is the value and it is mended. One that was
    replayed stays unless `again`; one that would be dead again, or that nobody can judge, stays unless `force`.
    """
    return [_choice(letter, judge, mended, force, again) for letter in letters]


def _choice(letter: Letter, judge: Judge, mended: bytes | None, force: bool, again: bool) -> Choice:
    missing = [part for part in letter.cut if mended is None or part != "value"]
    if missing:
        stays = f"not whole: its {' and '.join(missing)} cut"
        return Choice(letter, Verdict("unknown", "truncated", stays), stays)
    verdict = judge.verdict(letter, mended)
    if letter.replayed is not None and not again:
        return Choice(letter, verdict, f"replayed already at {letter.replayed:%Y-%m-%d %H:%M:%S} (--again sends it)")
    if verdict.outcome != "good" and not force:
        return Choice(letter, verdict, f"{'would fail again' if verdict.outcome == 'bad' else 'not judged'}: {verdict}")
    return Choice(letter, verdict)
