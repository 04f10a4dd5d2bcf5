"""A second look at answers, by rules: is it grounded, does it help, is it polite, and is it short enough.

What a model's auditor judges by reading, this judges by comparing: an answer made of statements can be taken apart into
them. It holds for answers by grammar word for word, and for a model's answers as a floor (see `unknown_citations`).
Knows help texts and small talk; no product, no model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from personas.event import Audit, Turn, Verdict
from personas.help import Help

RULES = "rules"
#: More words than this are read by nobody.
MOST_WORDS = 130
#: More of these in one answer are begging, not politeness.
MOST_APOLOGIES = 1
#: How a conversation can end.
SOLVED = {
    "solved": Verdict(True, "the user said, or let it be, that it is settled"),
    "handed_over": Verdict(True, "a person takes over, as the help texts say"),
    "given_up": Verdict(False, "the user gave up before it was settled"),
}
BEGGING = ("sorry", "apolog", "forgive", "pardon", "awful", "worthy", "terribly", "wonderful")
CITATION = re.compile(r"\[([a-z][a-z0-9_]{0,47})\]")


def citations(text: str) -> list[str]:
    """The ids in brackets."""
    return CITATION.findall(text)


def apologies(text: str) -> int:
    """How many words of apology or praise a text has."""
    lower = text.lower()
    return sum(map(lower.count, BEGGING))


def unknown_citations(text: str, help_: Help) -> list[str]:
    """Cited ids that no help text has."""
    return [id_ for id_ in citations(text) if id_ not in help_.texts]


class Auditor:
    """Audits answers of one product by rules."""

    def __init__(self, help_: Help) -> None:
        self.help = help_
        talk = [said for name, sentences in help_.talk.items() if name.startswith("assistant_") for said in sentences]
        self._small_talk = sorted(talk, key=len, reverse=True)

    def flaws_of(self, text: str, right: Collection[str]) -> dict[str, str]:
        """The flaws of an answer and the reason for each; `right` are the help texts that fit the question."""
        texts, found = self.help.texts, dict[str, str]()
        ids = [id_ for id_ in citations(text) if id_ in texts]
        if (words := text.count(" ") + 1) > MOST_WORDS:
            found["too_long"] = f"{words} words, at most {MOST_WORDS}"
        stated = [statement for id_ in ids for statement in texts[id_].text if statement in text]
        own = CITATION.sub("", text)
        for statement in sorted(stated, key=len, reverse=True):  # the longest first: one may be part of another
            own = own.replace(statement, "")
        if (begging := apologies(own)) > MOST_APOLOGIES:
            found["grovelling"] = f"{begging} words of apology or praise, at most {MOST_APOLOGIES}"
        if not stated:
            found["evasive"] = "nothing in it stands in a help text that it cites"
        elif not set(ids) & set(right):
            found["wrong_policy"] = f"it answers from {', '.join(ids)}, asked was {', '.join(sorted(right))}"
        if not found and (rest := self._rest(own)):
            found["ungrounded"] = f"no help text says: {rest[:120]}"
        return found

    def _rest(self, text: str) -> str:
        """What is left of an answer's own words without small talk."""
        for sentence in self._small_talk:
            text = text.replace(sentence, "")
        return " ".join(text.split())

    def audit(self, turns: Sequence[Turn], outcome: str, right: Collection[str]) -> Audit:
        """The audit of a whole conversation."""
        flaws: dict[str, str] = {}
        for turn in turns:
            if turn.role == "assistant":
                flaws |= self.flaws_of(turn.text, {*right, self.help.hand_over})
        untrue = [flaws[name] for name in ("ungrounded", "wrong_policy", "evasive") if name in flaws]
        rude = [flaws[name] for name in ("grovelling", "too_long") if name in flaws]
        ids = sorted({id_ for turn in turns for id_ in turn.cited})
        return Audit(
            RULES,
            Verdict(not untrue, "; ".join(untrue) or f"every statement stands in {', '.join(ids)}"),
            SOLVED[outcome],
            Verdict(not rude, "; ".join(rude) or "friendly, and brief enough"),
        )
