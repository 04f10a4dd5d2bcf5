"""Support conversations spoken by a language model: as the user, as the assistant, and as the auditor of both.

Three roles that know different things. The user knows the persona, the mood and what happened, and no help text. The
assistant knows what a search by words found for what the user wrote, and not who the user is. The auditor knows help
texts and conversation, and has said nothing in it. A fourth question asks for the answer that should not have been
given, with a flaw that is named: the other half of a preference pair, in the same voice.

What rules can see is not left to the model (`floor`): an answer must cite a text that it was shown, the id must exist,
and it must not be twice as long as asked for. Who cannot be asked any more speaks by grammar. Knows the seam to
language models and no SDK.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from personas.errors import BudgetError, TutorError
from personas.event import FLAWS, Audit, Flaw, Outcome, RejectedAnswer, Turn, Verdict
from personas.help import Help
from personas.pack import Pack
from personas.population import Population
from simulator.agents.asking import Asker, all_at_once
from simulator.agents.faults import INVALID_ANSWER
from simulator.agents.language import Message, Purpose, Request
from simulator.agents.prompt import SUPPORT_PROMPTS, Prompt, data, load_prompt, plain
from simulator.agents.quality import Said
from simulator.support.answers import cited
from simulator.support.audit import apologies, citations
from simulator.support.retrieval import SHOWN, Retrieval, words_of
from simulator.support.speaking import Case, Spoken

LONGEST_MESSAGE = 1200
LONGEST_REASON = 200
#: Conversations that are spoken at the same time (what is really asked at once is up to the language model).
AT_ONCE = 64
#: Messages of the user after which a conversation ends whatever is said.
MOST_MESSAGES = 5
#: An answer of more words than this is too long, whatever the auditor says; one with more words of apology grovels.
MOST_WORDS, MOST_APOLOGIES = 180, 2
#: In the language of the help texts, at least this share of an answer's longer words stands in the texts shown.
LEAST_SHARED = 0.25
FLAW_WORDS: dict[Flaw, str] = {
    "ungrounded": "it promises or states something that no help text says",
    "evasive": "it says nothing that helps, in friendly general words",
    "grovelling": "it apologises over and over and flatters the user",
    "wrong_policy": "it answers from the help text of something else",
    "too_long": "it tells everything there is to tell, three times as long as anybody reads",
}
_TEXT = {"type": "string", "minLength": 1, "maxLength": LONGEST_MESSAGE}
_REASON = {"type": "string", "minLength": 1, "maxLength": LONGEST_REASON}
_VERDICT = {
    "type": "object", "additionalProperties": False, "required": ["reason", "passed"],
    "properties": {"reason": _REASON, "passed": {"type": "boolean"}},
}  # fmt: skip
Describe = Callable[[int], str]


def _schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": [*properties], "properties": properties}


class SupportAgents:
    """Implements Speaker for one population. `persona` and `attributes` describe the user of a row in words (see
    `screen.Screens`); `runner` is the event loop of the language model; when `stopping()`, Interrupted is raised."""

    def __init__(
        self, pack: Pack, population: Population, asker: Asker, model_name: str, *, runner: asyncio.Runner,
        persona: Describe, attributes: Describe, stopping: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        assert pack.help is not None, "without help texts there is no support"
        self.pack, self.population, self.help = pack, population, pack.help
        self.asker, self.model_name, self.runner, self.stopping = asker, model_name, runner, stopping
        self.persona, self.attributes = persona, attributes
        self.retrieval = Retrieval(self.help)
        self._user, self._assistant, self._audit = (load_prompt(name) for name in SUPPORT_PROMPTS)
        title, summary = data(pack.product.title), data(pack.product.summary, 1000)
        self._systems = {
            "user_message": self._user.render("system", title=title, summary=summary),
            "assistant_message": self._assistant.render(
                "system", assistant=data(self.help.assistant, 60), title=title, summary=summary
            ),
            "audit": self._audit.render("system", title=title),
        }

    def speak(self, cases: Sequence[Case]) -> list[Spoken | None]:
        """All cases at once. Where the money is used up, or a model fails at a conversation, there is None."""
        spoken: list[Spoken | None] = [None] * len(cases)

        async def one(place: int) -> None:
            try:
                spoken[place] = await self._converse(cases[place])
            except BudgetError:  # not remembered: a run that is repeated has to fail where it failed, not before
                return
            except TutorError as error:
                if error.scope == "tutor":
                    raise

        if cases:
            self.runner.run(all_at_once(range(len(cases)), one, self.stopping, min(len(cases), AT_ONCE)))
        self.asker.counts.conversations += sum(each is not None for each in spoken)
        for case, each in zip(cases, spoken, strict=True):
            if each is not None:
                self._remember(case, each)
        return spoken

    def _remember(self, case: Case, spoken: Spoken) -> None:
        """What was said as the user, to be measured."""
        persona, writer = self.pack.personas[int(self.population.persona[case.user])].name, case.writer
        for place, turn in enumerate(spoken.turns):
            if turn.role == "user":
                most = writer.most_words if place == 0 else None
                one = Said(persona, turn.text, writer.mood, writer.formality, case.language, most)
                self.asker.counts.said.append(one)

    async def _converse(self, case: Case) -> Spoken:
        turns: list[Turn] = []
        outcome: Outcome | None = None
        rejected: list[RejectedAnswer] = []
        shown: list[str] = []
        while outcome is None:
            text, then = await self._said(case, turns)
            turns.append(Turn("user", text, _seconds(turns, text, typing=1.5)))
            if len(turns) > 1 and then != "wait":
                outcome = "solved" if then == "solved" else "given_up"
                break
            if len(turns) // 2 >= min(case.writer.turns + 1, MOST_MESSAGES):
                outcome = "given_up"
                break
            shown = self._found(turns)
            answer, over = await self._answered(case, turns, shown)
            turns.append(answer)
            if not rejected:
                rejected = await self._worse(case, turns, shown)
            outcome = "handed_over" if over else None
        return Spoken(turns, outcome, await self._audited(case, turns, outcome), rejected)

    async def _said(self, case: Case, turns: list[Turn]) -> tuple[str, str]:
        """The user's next message, and how it stands for the user with it."""
        if not turns and case.words is not None:
            return case.words, "wait"
        writer = case.writer
        left = writer.turns - len(turns) // 2
        schema = _schema(message=_TEXT, then={"type": "string", "enum": ["wait", "solved", "give_up"]})
        content = await self._ask(
            case, "user_message", self._user,
            self._user.render("context", persona=self.persona(case.user), attributes=self.attributes(case.user)),
            self._user.render(
                "message", happened=data(case.happened), mood=writer.mood, typing=writer.typing,
                device=data(writer.device), detail=f"{writer.detail:.2f}", patience=f"{writer.patience:.2f}",
                formality=f"{writer.formality:.2f}", language=case.language, words=str(writer.most_words),
                conversation=transcript(turns) or "(nothing yet)",
                left="" if left > 0 or not turns else "The person has no patience left.",
            ), schema, len(turns),
        )  # fmt: skip
        return clean(content["message"]), str(content["then"]) if turns else "wait"

    async def _answered(self, case: Case, turns: list[Turn], shown: list[str]) -> tuple[Turn, bool]:
        """The assistant's answer, and whether it hands over."""
        schema = _schema(
            message=_TEXT, hand_over={"type": "boolean"},
            help_ids={"type": "array", "items": {"type": "string", "enum": [*self.help.texts]}, "maxItems": 4},
        )  # fmt: skip
        message = self._assistant.render("message", conversation=transcript(turns))
        content = await self._ask(
            case, "assistant_message", self._assistant, self._texts(self._assistant, shown), message, schema,
            len(turns),
        )  # fmt: skip
        named = content["help_ids"] if isinstance(content["help_ids"], list) else []
        ids = [id_ for id_ in dict.fromkeys(map(str, named)) if id_ in self.help.texts]
        said = clean(content["message"])
        text = cited(said, [id_ for id_ in ids if f"[{id_}]" not in said])
        return Turn("assistant", text, _seconds(turns, text, typing=0.15), shown, ids), bool(content["hand_over"])

    async def _worse(self, case: Case, turns: list[Turn], shown: list[str]) -> list[RejectedAnswer]:
        """An answer with a flaw in place of the last one; none where the model gave the same."""
        flaw = FLAWS[int(case.flaw * len(FLAWS))]
        message = self._assistant.render("worse", conversation=transcript(turns[:-1]), flaw=FLAW_WORDS[flaw])
        content = await self._ask(
            case, "assistant_message", self._assistant, self._texts(self._assistant, shown), message,
            _schema(message=_TEXT), 100 + len(turns),
        )  # fmt: skip
        text = clean(content["message"])
        same = words_of(text) == words_of(turns[-1].text)
        return [] if same else [RejectedAnswer(len(turns) - 1, text, flaw)]

    async def _audited(self, case: Case, turns: list[Turn], outcome: Outcome) -> Audit:
        """The audit: the model's verdicts, each of which fails where a rule sees more."""
        ids = list(dict.fromkeys(id_ for turn in turns for id_ in turn.shown))
        content = await self._ask(
            case, "audit", self._audit, self._texts(self._audit, ids),
            self._audit.render("message", conversation=transcript(turns)),
            _schema(grounded=_VERDICT, solved=_VERDICT, polite=_VERDICT), 200,
        )  # fmt: skip
        rules = floor(turns, self.help, case.language)
        if outcome == "given_up":
            rules["solved"] = "the user gave up before it was settled"
        verdicts = [_verdict(content[name], rules.get(name)) for name in ("grounded", "solved", "polite")]
        return Audit(self.model_name, *verdicts)

    def _found(self, turns: list[Turn]) -> list[str]:
        """The help texts that fit what the user has written, and always the one that hands over."""
        found = self.retrieval.best(" ".join(turn.text for turn in turns if turn.role == "user"))
        over = self.help.hand_over
        return found if over in found else [*found[: SHOWN - 1], over]

    def _texts(self, prompt: Prompt, ids: Sequence[str]) -> str:
        texts = self.help.texts
        lines = [f"[{id_}] {data(texts[id_].title)}: {data(' '.join(texts[id_].text), 4000)}" for id_ in ids]
        return prompt.render("context", texts="\n".join(lines))

    async def _ask(
        self, case: Case, purpose: Purpose, prompt: Prompt,
        context: str, message: str, schema: dict[str, Any], step: int,
    ) -> dict[str, Any]:  # fmt: skip
        request = Request(
            model=self.model_name, purpose=purpose, prompt=prompt.label, system=self._systems[purpose],
            context=context, messages=(Message(role="user", text=message),), schema_name=purpose,
            answer_schema=schema, max_tokens=600, sample=case.sample + step,
        )  # fmt: skip
        content = await self.asker.ask(request)
        if not isinstance(content, dict) or not set(schema["required"]) <= set(content):
            raise TutorError(
                f"{prompt.label}: found {str(content)[:80]!r}, expected {', '.join(schema['required'])}",
                kind=INVALID_ANSWER.kind,
            )
        return content


def floor(turns: Sequence[Turn], help_: Help, language: str) -> dict[str, str]:
    """What rules find wrong with the assistant's part, by verdict; nothing where they find nothing."""
    found: dict[str, str] = {}
    for turn in turns:
        if turn.role != "assistant":
            continue
        known = [id_ for id_ in turn.cited if id_ in turn.shown]
        if not known:
            found["grounded"] = "an answer cites none of the help texts that it was shown"
        elif others := [id_ for id_ in citations(turn.text) if id_ not in turn.shown]:
            found["grounded"] = f"an answer cites {others[0]}, which it was not shown"
        elif language == help_.language and shared(turn, help_) < LEAST_SHARED:
            found["grounded"] = "an answer has hardly a word of the help texts that it cites"
        if len(turn.text.split()) > MOST_WORDS:
            found["polite"] = f"an answer of {len(turn.text.split())} words, at most {MOST_WORDS} are read"
        elif apologies(turn.text) > MOST_APOLOGIES:
            found["polite"] = f"more than {MOST_APOLOGIES} words of apology or praise in one answer"
    return found


def shared(turn: Turn, help_: Help) -> float:
    """The share of an answer's words of five letters or more that stand in the help texts it was shown; 1 for none."""
    own = {word for word in words_of(turn.text) if len(word) > 4}
    texts = {word for id_ in turn.shown if id_ in help_.texts for word in words_of(" ".join(help_.texts[id_].text))}
    return len(own & texts) / len(own) if own else 1.0


def transcript(turns: Sequence[Turn]) -> str:
    """What was said, a line a message, as data."""
    return "\n".join(f"{turn.role}: {data(turn.text, LONGEST_MESSAGE)}" for turn in turns)


def clean(text: object) -> str:
    """A model's text without what cannot be seen, on one line."""
    return plain(str(text), LONGEST_MESSAGE) or "…"


def _verdict(given: Any, rule: str | None) -> Verdict:
    if rule is not None:
        return Verdict(False, f"by rule: {rule}")
    if not isinstance(given, dict) or given.get("passed") not in (True, False):
        return Verdict(False, "by rule: the auditor gave no verdict")
    return Verdict(given["passed"], clean(given.get("reason", ""))[:LONGEST_REASON])


def _seconds(turns: Sequence[Turn], text: str, *, typing: float) -> float:
    """When a message is sent: after reading the one before, and typing so many seconds a word."""
    if not turns:
        return 0.0
    return round(turns[-1].seconds + 3 + 0.3 * len(turns[-1].text.split()) + typing * len(text.split()), 1)
