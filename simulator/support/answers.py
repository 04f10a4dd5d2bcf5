"""What an assistant answers, by grammar: the statements of a help text, and the same answer with one flaw.

A good answer is a sentence for the mood, statements of one help text in their order, a way to go on, and the id of the
text in brackets. So everything in it that is not small talk stands in the text that it cites. A flawed answer differs
from it in one named way, which `audit` finds again. Plain functions over text.
"""

from __future__ import annotations

from collections.abc import Sequence

from personas.event import FLAWS, Flaw
from personas.help import Help
from simulator.support.words import Dice, Talk


def cited(text: str, ids: Sequence[str]) -> str:
    """The text with the ids of its help texts behind it."""
    return f"{text} {' '.join(f'[{id_}]' for id_ in ids)}" if ids else text


def answer(talk: Talk, opening: str, statements: Sequence[str], id_: str, dice: Dice) -> str:
    """An answer as it should be. `opening` names the small talk that it begins with."""
    closing = dice.pick(talk["assistant_close"])
    return cited(" ".join((dice.pick(talk[opening]), *statements, closing)), [id_])


def hand_over(help_: Help, talk: Talk, dice: Dice) -> str:
    """The answer that passes the conversation on to a person."""
    statements = help_.texts[help_.hand_over].text
    return cited(" ".join((dice.pick(talk["assistant_hand_over"]), *statements)), [help_.hand_over])


def flawed(
    help_: Help, talk: Talk, opening: str, statements: Sequence[str], id_: str, others: Sequence[str], dice: Dice
) -> tuple[str, Flaw]:
    """The same answer with one flaw: (text, flaw). `others` are the ids of texts about something else."""
    flaw = FLAWS[int(dice.number() * len(FLAWS))]
    begin, close = dice.pick(talk[opening]), dice.pick(talk["assistant_close"])
    other = dice.pick(others)
    if flaw == "ungrounded":
        return cited(" ".join((begin, statements[0], dice.pick(talk["flaw_ungrounded"]), close)), [id_]), flaw
    if flaw == "evasive":
        return " ".join((begin, *dice.some(talk["flaw_evasive"], 3), close)), flaw
    if flaw == "grovelling":
        begging = dice.some(talk["flaw_grovelling"], 3)
        return cited(" ".join((*begging[:2], *statements, begging[2], close)), [id_]), flaw
    if flaw == "wrong_policy":
        return cited(" ".join((begin, *help_.texts[other].text[: len(statements)], close)), [other]), flaw
    padding = dice.some(talk["flaw_padding"], 4)
    parts = (begin, padding[0], *help_.texts[id_].text, *padding[1:3], *help_.texts[other].text, padding[3], close)
    return cited(" ".join(parts), [id_, other]), flaw


def others_of(help_: Help, id_: str) -> list[str]:
    """The help texts about something else, without the one that hands over; any other where there is none."""
    about = set(help_.texts[id_].about)
    others = [each for each, text in help_.texts.items() if each != help_.hand_over and not about & set(text.about)]
    return others or [each for each in help_.texts if each != id_]
