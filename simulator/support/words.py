"""What a user writes, by grammar: sentences of the pack put together as mood, typing, detail and formality ask for.

Every choice is made with the conversation's own numbers (`Dice`), one after the other. Plain functions over text; knows
no product, no array and no assistant.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

Talk = dict[str, tuple[str, ...]]
#: One word in so many has a slip in it, by the way of typing.
SLIPS = {"careful": 0, "quick": 90, "sloppy": 12}


class Dice:
    """The numbers of one conversation, each used once; from the start again where they do not suffice."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self._numbers, self._next = numbers, 0

    def number(self) -> float:
        """The next number, from 0 to 1."""
        self._next += 1
        return self._numbers[(self._next - 1) % len(self._numbers)]

    def pick(self, choices: Sequence[str]) -> str:
        """One of several."""
        return choices[int(self.number() * len(choices))]

    def some(self, choices: Sequence[str], count: int) -> list[str]:
        """So many different ones, at most all, in any order."""
        left = list(choices)
        return [left.pop(int(self.number() * len(left))) for _ in range(min(count, len(left)))]


@dataclass(frozen=True)
class Writer:
    """How somebody writes. `detail`, `patience` and `formality` from 0 to 1."""

    mood: str
    typing: str
    detail: float
    patience: float
    formality: float
    device: str
    title: str
    category: str

    @property
    def brief(self) -> bool:
        """Whether a few words have to do."""
        return self.detail < 0.3 and self.typing != "careful"

    @property
    def turns(self) -> int:
        """How many messages the user is willing to write."""
        return 1 + int(self.patience * 3.2)

    @property
    def most_words(self) -> int:
        """More than this nobody of this kind writes in the first message."""
        return round(35 + 95 * self.detail)


def first_message(talk: Talk, writer: Writer, question: str, dice: Dice) -> str:
    """The message that a conversation begins with."""
    parts = [question]
    if not writer.brief:
        details = dice.some(talk["user_detail"], round(writer.detail * 3.4 - 0.4))
        mood = talk[f"user_{writer.mood}"]
        if dice.number() < (0.35 if writer.mood == "calm" else 0.8):
            details.append(dice.pick(mood))
        parts += details
        if dice.number() < 0.3 + 0.5 * writer.formality:
            parts.append(dice.pick(talk["user_ask"]))
        if dice.number() < 0.2 + 0.8 * writer.formality:
            kind = "formal" if writer.formality > 0.6 else "casual"
            greeting = dice.pick(talk[f"user_greeting_{kind}"])
            if greeting.endswith(",") and not question.startswith(("I ", "{")):
                parts[0] = question[:1].lower() + question[1:]
            parts.insert(0, greeting)
    elif dice.number() < 0.6:
        parts.append(dice.pick(talk["user_ask_short"]))
    return typed(filled(" ".join(parts), writer), writer.typing, dice)


def later_message(talk: Talk, writer: Writer, what: str, dice: Dice) -> str:
    """A message further on: `what` is thanks, still, give_up or hand_over."""
    short = f"user_{what}_short"
    if writer.brief and short in talk:
        return typed(dice.pick(talk[short]), writer.typing, dice)
    parts = [dice.pick(talk[f"user_{what}"])]
    if what == "still" and writer.detail > 0.5:
        parts.append(dice.pick(talk["user_detail"]))
    if what in ("still", "give_up") and writer.mood in ("annoyed", "angry") and dice.number() < 0.5:
        parts.append(dice.pick(talk[f"user_{writer.mood}"]))
    return typed(filled(" ".join(parts), writer), writer.typing, dice)


def filled(text: str, writer: Writer) -> str:
    """The text with its placeholders filled in."""
    if "{" not in text:
        return text
    text = text.replace("{title}", writer.title).replace("{category}", writer.category)
    text = text.replace("{device}", writer.device)
    return text[:1].upper() + text[1:]


def typed(text: str, typing: str, dice: Dice) -> str:
    """The text as somebody types it who is careful, quick or sloppy."""
    if typing == "careful":
        return text
    text = text.replace(" I ", " i ").replace("I ", "i ", 1) if text.startswith("I ") else text.replace(" I ", " i ")
    if typing == "sloppy":
        text = text.lower().replace(",", "")
    text = text.removesuffix(".")
    seed = dice.number()
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) > 4 and word.isalpha():
            chance = zlib.crc32(f"{seed:.9f}/{place}".encode())
            if chance % SLIPS[typing] == 0:
                at = 1 + (chance >> 8) % (len(word) - 2)
                words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)
