"""From what was played to the messages of the conversations topic: who writes, what is said, and the JSON of it.

One conversation is one message, keyed by its user, at the time of the event after which the user wrote; its id is
`<session>.<sequence>.conversation`. A few in a thousand events begin one, so this is a loop over Python objects where
everything else is columns; a pack without help texts costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa

from personas.event import CONVERSATION, Audit, ConversationData, Envelope
from personas.help import Help
from personas.help_checks import opening_phrases
from personas.pack import Pack
from personas.population import Population, device_names
from personas.provenance import RunIdentity
from personas.randomness import fold, uniform
from simulator import text
from simulator.encode import Messages, no_messages
from simulator.engine import Played, Words
from simulator.properties import Properties, chosen_phrase, property_purposes
from simulator.support.audit import Auditor
from simulator.support.plot import Plot
from simulator.support.retrieval import Retrieval
from simulator.support.speaking import Case, Speaker
from simulator.support.words import Dice, Writer
from simulator.support.writers import FLAW, LANGUAGE, MOODS, SAMPLE, TYPINGS, Letters, Writers

SEQUENCE_BITS = 16
#: Whoever chose the events: sentences put together by grammar are the pack's own.
GENERATOR = "prior"
#: And what a language model speaks is the tutor's.
SPEAKER = "tutor"


class Conversations:
    """Makes the conversations of one run."""

    def __init__(
        self, pack: Pack, help_: Help, identity: RunIdentity, population: Population, speaker: Speaker | None = None
    ) -> None:
        self.pack, self.help, self.identity, self.population = pack, help_, identity, population
        self.speaker = speaker
        self.writers = Writers(pack, help_, population)
        self.plot, self.auditor = Plot(help_, Retrieval(help_)), Auditor(help_)
        self.calendar = text.Calendar(identity.start)
        self.reasons = list(help_.writes)
        self._run_id, self._source = identity.run_id, f"/dayone/{identity.product}"
        self._about = [help_.about(name) for name in self.reasons]
        self._devices = device_names(pack)
        self._openings = _Openings(pack, help_, self.plot.retrieval)
        items, categories = pack.catalog.items, pack.catalog.categories
        self._titles = [item.title for item in items]
        self._categories = [name.replace("_", " ") for name in categories]
        self._of_category = [[n for n, item in enumerate(items) if item.category == name] for name in categories]

    def messages(self, played: Played, since: int = -1) -> Messages:
        """The conversations after what was played that begin at the instant `since` or later."""
        letters = self.writers.letters(played, since)
        if not len(letters):
            return no_messages()
        written = self._openings.of(letters, played.words)
        made = [self.one(letters, row, written.get(row)) for row in range(len(letters))]
        spoken = self._spoken(letters, written, made)
        made = [of_grammar if own is None else own for of_grammar, own in zip(made, spoken, strict=True)]
        begun = self.calendar.text(letters.time).to_pylist()
        last = np.array([round(data.turns[-1].seconds * 1000) for data in made], dtype=np.int64)
        ended = self.calendar.text(letters.time + last).to_pylist()
        values = [
            self._message(letters, row, msgspec.structs.replace(data, ended=ended[row]), begun[row],
                          GENERATOR if spoken[row] is None else SPEAKER)
            for row, data in enumerate(made)
        ]
        kind = np.full(len(letters), -1, dtype=np.int64)
        return Messages(
            time=letters.time, user=self.population.number[letters.user],
            tie=(letters.session << SEQUENCE_BITS) + letters.sequence, row=letters.user, kind=kind, problem=kind,
            values=pa.array(values, pa.string()),
        )  # fmt: skip

    def writer(self, letters: Letters, row: int, dice: Dice) -> Writer:
        """How the user of a row writes, and what about."""
        item, category = int(letters.item[row]), int(letters.category[row])
        if item < 0:
            members = self._of_category[category]
            item = members[int(dice.number() * len(members))]
        device = int(self.population.device[letters.user[row]])
        return Writer(
            mood=MOODS[letters.mood[row]], typing=TYPINGS[letters.typing[row]],
            **{name: float(values[row]) for name, values in letters.manner.items()},
            device=self._devices[device].replace("_", " "), title=self._titles[item],
            category=self._categories[category],
        )  # fmt: skip

    def one(self, letters: Letters, row: int, written: Opening | None) -> ConversationData:
        """The conversation of one row. `ended` is left empty."""
        dice = Dice(letters.dice[row].tolist())
        writer = self.writer(letters, row, dice)
        reason = int(letters.reason[row])
        id_, question = (written.id_, "") if written else self._question(reason, dice)
        course = self.plot.play(writer, id_, question, written.words if written else None, dice)
        audit = self.auditor.audit(course.turns, course.outcome, (id_,) if written else self._about[reason])
        return ConversationData(
            sequence=int(letters.sequence[row]), reason=self.reasons[reason], language=self.help.language,
            outcome=course.outcome, ended="", parameters=parameters(writer), turns=course.turns, audit=audit,
            passed=passed(audit), rejected=course.rejected,
        )  # fmt: skip

    def _spoken(
        self, letters: Letters, written: Mapping[int, Opening], by_grammar: Sequence[ConversationData]
    ) -> list[ConversationData | None]:
        """What the speaker makes of each row; None where there is none, or it cannot."""
        if self.speaker is None:
            return [None] * len(letters)
        languages = list(self.help.spoken)
        chances = uniform(fold(letters.key, LANGUAGE))
        drawn = np.searchsorted(np.cumsum(list(self.help.spoken.values())), chances, side="right")
        flaws = uniform(fold(letters.key, FLAW)).tolist()
        samples = (fold(letters.key, SAMPLE) >> np.uint64(16)).tolist()
        cases = [
            self._case(letters, row, written.get(row), languages[min(int(drawn[row]), len(languages) - 1)],
                       samples[row], flaws[row])
            for row in range(len(letters))
        ]  # fmt: skip
        return [
            None if one is None else msgspec.structs.replace(
                data, language=case.language, outcome=one.outcome, turns=one.turns, audit=one.audit,
                passed=passed(one.audit), rejected=one.rejected,
            )
            for case, data, one in zip(cases, by_grammar, self.speaker.speak(cases), strict=True)
        ]  # fmt: skip

    def _case(
        self, letters: Letters, row: int, written: Opening | None, language: str, sample: int, flaw: float
    ) -> Case:
        reason = self.reasons[int(letters.reason[row])]
        writer = self.writer(letters, row, Dice(letters.dice[row].tolist()))
        problem = self.pack.product.problems.get(reason)
        summary = problem.summary if problem else self.pack.product.events[reason].summary
        attempted = list(self.pack.product.events)[int(letters.event[row])]
        happened = f"{summary or reason.replace('_', ' ')} ({attempted.replace('_', ' ')})"
        if int(letters.item[row]) >= 0:
            happened += f", about: {writer.title}"
        return Case(
            user=int(letters.user[row]), writer=writer, reason=reason, happened=happened,
            about=(written.id_,) if written else self._about[int(letters.reason[row])],
            words=written.words if written else None, language=language, sample=sample, flaw=flaw,
        )  # fmt: skip

    def _question(self, reason: int, dice: Dice) -> tuple[str, str]:
        """The help text that the conversation is about, and the user's question; each question is as likely."""
        about = self._about[reason]
        number = int(dice.number() * sum(len(self.help.texts[id_].questions) for id_ in about))
        for id_ in about:
            questions = self.help.texts[id_].questions
            if number < len(questions):
                return id_, questions[number]
            number -= len(questions)
        raise AssertionError("a number below the sum of the questions")

    def _message(self, letters: Letters, row: int, data: ConversationData, time: str, generator: str) -> str:
        user = self.population.ids[letters.user[row]].decode()
        session = f"{user}-{letters.session[row]}"
        envelope = Envelope(
            specversion="1.0", id=f"{session}.{data.sequence}.conversation", source=self._source, type=CONVERSATION,
            time=time, subject=user, synthetic=True, runid=self._run_id, generator=generator,
            generation=self.identity.generation, data=msgspec.Raw(msgspec.json.encode(data)), sessionid=session,
        )  # fmt: skip
        return msgspec.json.encode(envelope).decode()


def passed(audit: Audit) -> bool:
    """Whether an audit was passed as a whole."""
    return audit.grounded.passed and audit.solved.passed and audit.polite.passed


def parameters(writer: Writer) -> dict[str, str | float]:
    """How the user writes, for those who learn from it."""
    return {
        "mood": writer.mood, "typing": writer.typing, "detail": writer.detail, "patience": writer.patience,
        "formality": writer.formality, "device": writer.device,
    }  # fmt: skip


@dataclass(frozen=True)
class Opening:
    """What a user has written already, in an event of the product, and the help text that answers it."""

    id_: str
    words: str


class _Openings:
    """Conversations that begin with what an event of the product holds."""

    def __init__(self, pack: Pack, help_: Help, retrieval: Retrieval) -> None:
        self._retrieval = retrieval
        #: number of the reason -> (phrases, purpose of the random numbers of the property that holds one)
        self._of: dict[int, tuple[tuple[str, ...], int]] = {}
        purposes = property_purposes(pack.product)
        for number, (name, writes) in enumerate(help_.writes.items()):
            if phrases := opening_phrases(help_, pack.product, name):
                self._of[number] = pack.product.phrases[phrases], purposes[name, str(writes.words)]
        self._answered = {question: id_ for id_, text in help_.texts.items() for question in text.questions}
        self._properties = Properties(pack) if self._of else None
        items = pack.catalog.items
        self._titles = [item.title for item in items]
        self._categories = [item.category.replace("_", " ") for item in items]

    def of(self, letters: Letters, words: Words) -> dict[int, Opening]:
        """By row, for the conversations that begin so. `words` is what agents wrote in place of the phrases: of that,
        the help text is found."""
        found: dict[int, Opening] = {}
        for number, (phrases, purpose) in self._of.items():
            rows = np.flatnonzero(letters.reason == number)
            if len(rows) and self._properties is not None:
                key = fold(letters.key[rows], purpose)
                items = self._properties.phrase_items(letters.item[rows], letters.category[rows], key).tolist()
                which = chosen_phrase(key, len(phrases)).tolist()
                for row, phrase, item in zip(rows.tolist(), which, items, strict=True):
                    event = int(letters.user[row]), int(letters.session[row]), int(letters.sequence[row])
                    if (own := words.get(event)) and (fitting := self._retrieval.best(own, 1)):
                        found[row] = Opening(fitting[0], own)
                        continue
                    said = phrases[phrase].replace("{title}", self._titles[item])
                    said = said.replace("{category}", self._categories[item])
                    found[row] = Opening(self._answered[phrases[phrase]], said)
        return found
