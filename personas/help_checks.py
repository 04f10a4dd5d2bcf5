"""Checks of a help file against its product and personas: names that exist, texts that can be found, words that fit.

Each check is a generator of faults, as in `checks`, and all of them run, so that a user sees everything at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from personas.errors import Fault
from personas.help import MANNERS, PLACEHOLDERS, Help, small_talk
from personas.persona import Persona
from personas.product import Product
from personas.source import Lines, Path_, dotted, nearest

PHRASE_SOURCE = "phrase."


def check_help(help_: Help, product: Product, personas: Sequence[Persona], source: Lines) -> tuple[Fault, ...]:
    """All faults of a help file that is valid by itself."""
    checks = (
        _names(help_, product), _traits(help_, personas), _talk(help_), _statements(help_), _words(help_),
        _opening_words(help_, product),
    )  # fmt: skip
    return tuple(_fault(source, *each) for check in checks for each in check)


_Found = tuple[Path_, str, str]


def _fault(source: Lines, where: Path_, found: str, expected: str) -> Fault:
    return Fault(source.file, dotted(where), found, expected, nearest(source.lines, where))


def _one_of(known: Iterable[str]) -> str:
    return f"one of: {', '.join(sorted(known))}"


def _names(help_: Help, product: Product) -> Iterator[_Found]:
    happens = {*product.problems, *product.events}
    for name in help_.writes:
        if name in product.problems and name in product.events:
            yield ("writes", name), f"{name} is a problem and an event", "a name that is one of the two"
        if name not in happens:
            yield ("writes", name), repr(name), f"a problem or an event, {_one_of(happens)}"
        elif not help_.about(name):
            yield ("writes", name), f"no help text is about {name}", f"a text with `about: [{name}]`"
    if help_.hand_over not in help_.texts:
        yield ("hand_over",), repr(help_.hand_over), f"a help text, {_one_of(help_.texts)}"
    for id_, text in help_.texts.items():
        for place, name in enumerate(text.about):
            if name not in happens:
                yield ("texts", id_, "about", place), repr(name), f"a problem or an event, {_one_of(happens)}"
        if not text.about and id_ != help_.hand_over:
            yield ("texts", id_), "a text about nothing", "`about` with a problem or an event"


def _traits(help_: Help, personas: Sequence[Persona]) -> Iterator[_Found]:
    everywhere = set.intersection(*(set(persona.traits) for persona in personas)) if personas else set()
    named: list[tuple[Path_, dict[str, float]]] = [
        (("writes", name, "traits"), writes.traits) for name, writes in help_.writes.items()
    ]
    for name, traits in help_.manner.items():
        if name not in MANNERS:
            yield ("manner", name), repr(name), _one_of(MANNERS)
        named.append((("manner", name), traits))
    for where, traits in named:
        for trait in traits:
            if trait not in everywhere:
                yield (*where, trait), repr(trait), f"a trait that every persona has, {_one_of(everywhere)}"


def _talk(help_: Help) -> Iterator[_Found]:
    known = small_talk()
    for name in help_.phrases:
        if name not in known:
            yield ("phrases", name), repr(name), _one_of(known)
    missing = sorted(set(known) - set(help_.phrases))
    if help_.language != "en" and missing:
        yield ("phrases",), f"no {', '.join(missing)}", f"all small talk in {help_.language}"


def _statements(help_: Help) -> Iterator[_Found]:
    """A statement stands in one text, or nobody can tell which text an answer comes from."""
    first: dict[str, str] = {}
    for id_, text in help_.texts.items():
        for place, statement in enumerate(text.text):
            if (other := first.setdefault(statement.casefold(), id_)) != id_ or statement in text.text[:place]:
                yield ("texts", id_, "text", place), repr(statement)[:80], f"a statement that {other} does not have"
            if statement[-1] not in ".!?":
                yield ("texts", id_, "text", place), repr(statement)[-40:], "a sentence that ends with . ! or ?"


def _words(help_: Help) -> Iterator[_Found]:
    users: dict[Path_, tuple[str, ...]]
    fixed: dict[Path_, tuple[str, ...]]
    users = {("texts", id_, "questions"): text.questions for id_, text in help_.texts.items()}
    users |= {("phrases", name): said for name, said in help_.phrases.items() if name.startswith("user_")}
    fixed = {("texts", id_, "text"): text.text for id_, text in help_.texts.items()}
    fixed |= {("phrases", name): said for name, said in help_.phrases.items() if not name.startswith("user_")}
    for allowed, sentences in ((PLACEHOLDERS, users), ((), fixed)):
        for where, said in sentences.items():
            for place, sentence in enumerate(said):
                for part in re.findall(r"\{[^{}]*\}", sentence):
                    if part not in allowed:
                        yield (*where, place), part, " or ".join(allowed) or "no placeholder, every word written out"


def opening_phrases(help_: Help, product: Product, event: str) -> str | None:
    """The name of the product's phrases that conversations after this event begin with; None where they begin with
    a question of a help text."""
    words = help_.writes[event].words
    spec = product.events[event].properties.get(words) if words and event in product.events else None
    return (spec.source or "").removeprefix(PHRASE_SOURCE) if spec is not None else None


def _opening_words(help_: Help, product: Product) -> Iterator[_Found]:
    """What a user writes in an event of the product begins the conversation, so some help text must answer it."""
    for name, writes in help_.writes.items():
        if writes.words is None:
            continue
        where: Path_ = ("writes", name, "words")
        properties = product.events[name].properties if name in product.events else {}
        written = [key for key, spec in properties.items() if (spec.source or "").startswith(PHRASE_SOURCE)]
        if writes.words not in written:
            yield where, repr(writes.words), f"a property of {name} whose source is phrase.<name>, {_one_of(written)}"
            continue
        phrases = str(opening_phrases(help_, product, name))
        answered = {question for id_ in help_.about(name) for question in help_.texts[id_].questions}
        for sentence in product.phrases.get(phrases, ()):
            if sentence not in answered:
                expected = f"the sentence among the `questions` of a text about {name}"
                yield where, f"phrases.{phrases}: {sentence[:60]!r} is answered by no text", expected
