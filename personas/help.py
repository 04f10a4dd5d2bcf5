"""What support knows and who writes to it, as declared in a pack's `help.yaml`: help texts, and the words of users.

A help text is a list of statements, each true by itself, so that an answer can be put together from some of them and
what is in an answer can be found again in its text: that is what "grounded" means here. Two ways were considered: help
texts as prose, which is cut into sentences by a rule that fails at the first abbreviation, or as a list of statements.
The list won. A pack without `help.yaml` has no support, and nobody writes to it.

Knows no product, no persona and no catalogue: what has to fit those is checked in `help_checks`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from personas.product import Declared, Name, Probability, Weight
from personas.source import parse

HELP_FILE = "help.yaml"
#: How users write, each from 0 to 1: `detail` how much they tell, `patience` how long they stay, `formality` how they
#: address somebody whom they do not know.
MANNERS = ("detail", "patience", "formality")
#: What a user's words may leave open: the item and its category, the user's device.
PLACEHOLDERS = ("{category}", "{title}", "{device}")

Statement = Annotated[str, Field(min_length=3, max_length=400)]
Sentence = Annotated[str, Field(min_length=1, max_length=400)]
Phrases = Annotated[tuple[Sentence, ...], Field(min_length=1)]
Coefficient = Annotated[float, Field(ge=-4, le=4)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]


def _by_name(declared: dict[str, Any]) -> dict[str, Any]:
    """In alphabetical order: draws are numbered by it, so the order in a file must not decide what is said."""
    return dict(sorted(declared.items()))


class HelpText(Declared):
    """One help text. `about` names the problems and events after which it is what a user needs; `questions` are users'
    own words for it, `text` its statements in the order in which they help. `solves` is the probability that who has
    read an answer from it is helped."""

    title: Annotated[str, Field(min_length=3, max_length=120)]
    about: tuple[Name, ...] = ()
    solves: Probability = 0.7
    text: Annotated[tuple[Statement, ...], Field(min_length=2, max_length=12)]
    questions: Phrases


class Writes(Declared):
    """Who writes to support after a problem or an event: `rate` is the probability for a user who is as satisfied as
    the persona usually is and whose traits are in the middle. The odds are multiplied by exp(`unhappiness` x (usual -
    present satisfaction)) and, for each trait, by exp(coefficient x (2 x trait - 1)). `words` names the property of the
    event that holds what the user wrote, where there is one: the conversation begins with it."""

    rate: Probability
    unhappiness: Annotated[float, Field(ge=-20, le=20)] = 2.0
    traits: dict[Name, Coefficient] = Field(default_factory=dict)
    words: Name | None = None


class Help(Declared):
    """Support of one product. `language` is that of the texts and phrases; `languages` are those in which users write
    when a language model speaks for them. `hand_over` names the help text that says how a person takes over. `manner`
    says which traits shape how users write, as `Writes` does. `phrases` replaces some of the small talk (see
    `small_talk`), and must give all of it where `language` is not English."""

    language: Language = "en"
    languages: Annotated[dict[Language, Weight], AfterValidator(_by_name)] = Field(default_factory=dict)
    assistant: Annotated[str, Field(min_length=1, max_length=60)] = "the assistant"
    hand_over: Name
    writes: Annotated[dict[Name, Writes], AfterValidator(_by_name)] = Field(min_length=1, max_length=150)
    manner: dict[Name, dict[Name, Coefficient]] = Field(default_factory=dict)
    texts: Annotated[dict[Name, HelpText], AfterValidator(_by_name)] = Field(min_length=2, max_length=300)
    phrases: dict[Name, Phrases] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _languages(self) -> Help:
        if self.languages and sum(self.languages.values()) <= 0:
            raise ValueError("at least one language must have a weight above 0")
        return self

    @property
    def spoken(self) -> dict[str, float]:
        """The languages in which users write, with weights that add up to 1."""
        weights = self.languages or {self.language: 1.0}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}

    @property
    def talk(self) -> dict[str, tuple[str, ...]]:
        """The small talk of this product: the shipped sentences, and the pack's own where it has some."""
        return {**small_talk(), **self.phrases}

    def about(self, what: str) -> tuple[str, ...]:
        """The ids of the help texts about a problem or an event."""
        return tuple(id_ for id_, text in self.texts.items() if what in text.about)


class SmallTalk(Declared):
    """The file of sentences that belong to no product: greetings, moods, thanks, and what bad answers sound like."""

    phrases: dict[Name, Phrases]


@cache
def small_talk() -> dict[str, tuple[str, ...]]:
    """The small talk that ships, in English, by name."""
    return parse(SmallTalk, Path(__file__).parent / "small_talk.yaml")[0].phrases
