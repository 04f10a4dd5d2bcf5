"""How a conversation goes, by grammar: question, answer, another try, and an end that the help text decides.

The user asks; the assistant answers from the help text that the question belongs to; what that text `solves` decides
whether the user is helped. Who is not, and has patience left, writes again and gets the rest of the text, then a
person. Everything is drawn with the conversation's own numbers. Knows no arrays, no messages, no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from personas.event import Flaw, Outcome, RejectedAnswer, Turn
from personas.help import Help
from simulator.support.answers import answer, flawed, hand_over, others_of
from simulator.support.retrieval import SHOWN, Retrieval
from simulator.support.words import Dice, Writer, first_message, later_message

#: An answer tells no more statements than fit into so many words.
MOST_WORDS = 90
#: What is left of a help text helps less often than its beginning.
REST_SOLVES = 0.6


@dataclass(frozen=True)
class Course:
    """How a conversation went, and the answers that would have been worse."""

    turns: list[Turn]
    outcome: Outcome
    rejected: list[RejectedAnswer]


class Plot:
    """Conversations of one product."""

    def __init__(self, help_: Help, retrieval: Retrieval) -> None:
        self.help, self.talk, self.retrieval = help_, help_.talk, retrieval
        self._others = {id_: others_of(help_, id_) for id_ in help_.texts}

    def play(self, writer: Writer, id_: str, question: str, words: str | None, dice: Dice) -> Course:
        """The conversation about `id_` of a user who asks `question`, or has written exactly `words`."""
        said = words if words is not None else first_message(self.talk, writer, question, dice)
        turns = [Turn("user", said, 0.0)]
        text = self.help.texts[id_]
        told, opening, rejected = 0, f"assistant_{writer.mood}", list[RejectedAnswer]()
        worse = int(dice.number() * 2)  # which of the first two answers gets a flawed twin, where there is a second
        while True:
            some = statements(text.text[told:], 2 + round(2 * writer.detail))
            if not some or id_ == self.help.hand_over or (told and len(turns) > 3):
                return self._handed_over(turns, writer, dice, rejected)
            place = len(turns)
            turns.append(self._turn(turns, answer(self.talk, opening, some, id_, dice), id_))
            if not rejected or place == 1 + 2 * worse:
                rejected = [RejectedAnswer(place, *self._flawed(opening, some, id_, dice))]
            if dice.number() < text.solves * (REST_SOLVES if told else 1.0):
                if dice.number() < 0.75:
                    turns.append(self._said(turns, writer, "thanks", dice))
                return Course(turns, "solved", rejected)
            if len(turns) // 2 >= writer.turns:
                turns.append(self._said(turns, writer, "give_up", dice))
                return Course(turns, "given_up", rejected)
            turns.append(self._said(turns, writer, "still", dice))
            told, opening = told + len(some), "assistant_again"

    def _handed_over(self, turns: list[Turn], writer: Writer, dice: Dice, rejected: list[RejectedAnswer]) -> Course:
        id_, place = self.help.hand_over, len(turns)
        turns.append(self._turn(turns, hand_over(self.help, self.talk, dice), id_))
        if not rejected:
            some = self.help.texts[id_].text[:2]
            rejected = [RejectedAnswer(place, *self._flawed("assistant_hand_over", some, id_, dice))]
        if dice.number() < 0.15 + 0.75 * writer.patience:
            turns.append(self._said(turns, writer, "hand_over", dice))
            return Course(turns, "handed_over", rejected)
        turns.append(self._said(turns, writer, "give_up", dice))
        return Course(turns, "given_up", rejected)

    def _flawed(self, opening: str, some: Sequence[str], id_: str, dice: Dice) -> tuple[str, Flaw]:
        return flawed(self.help, self.talk, opening, some, id_, self._others[id_], dice)

    def _turn(self, turns: Sequence[Turn], text: str, id_: str) -> Turn:
        """The assistant's turn: what it was shown is what fits the user's words, with the text it answers from."""
        asked = " ".join(turn.text for turn in turns if turn.role == "user")
        shown = self.retrieval.best(asked)
        if id_ not in shown:
            shown = [*shown[: SHOWN - 1], id_]
        return Turn("assistant", text, round(turns[-1].seconds + 4 + 0.15 * len(text.split()), 1), shown, [id_])

    def _said(self, turns: Sequence[Turn], writer: Writer, what: str, dice: Dice) -> Turn:
        """The user's next turn, after reading, trying and typing."""
        text = later_message(self.talk, writer, what, dice)
        reading, trying = 0.3 * len(turns[-1].text.split()), 20 + 160 * dice.number()
        return Turn("user", text, round(turns[-1].seconds + reading + trying + 1.5 * len(text.split()), 1))


def statements(of: Sequence[str], count: int) -> list[str]:
    """The first so many, as far as somebody reads; at least one where there is one."""
    chosen: list[str] = []
    words = 0
    for statement in of[:count]:
        words += len(statement.split())
        if chosen and words > MOST_WORDS:
            break
        chosen.append(statement)
    return chosen
