"""The planner: asks for varied plans for each kind of visit (persona, goal, circumstances), many visits per question.

One question gives several plans with their probabilities. Those that are nearly the same as another are refused, and
the missing ones are asked for again, once, with what there is already. Kinds of visits for which there is no answer
have no plans: those visits are played from tables. Plans are kept nowhere but in recordings, from which the same
questions have the same answers. Knows no world and no engine: playing plans is for `playing`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from personas.errors import BudgetError, TutorError
from personas.pack import Pack
from simulator.agents.asking import AgentCounts
from simulator.agents.language import Answer, Message, Request
from simulator.agents.plan import Plan, different, plans_schema, read_plans
from simulator.agents.prompt import data, load_prompt

PLANS_PER_CALL = 8
ROUNDS = 2
TOKENS_PER_PLAN = 220
CIRCUMSTANCES = ("the first visit ever", "not the first visit: they have been here before")
AskMany = Callable[[Sequence[Request]], Awaitable[Sequence[Answer | TutorError]]]


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of visit: persona and intent by their numbers in the pack, circumstances by theirs."""

    persona: int
    intent: int
    circumstances: int


def kinds_of(pack: Pack) -> list[Kind]:
    """Every kind of visit that can come up."""
    intents = list(pack.product.intents)
    return [
        Kind(number, intents.index(name), circumstances)
        for number, persona in enumerate(pack.personas)
        for name in sorted(persona.intents, key=intents.index)
        if persona.intents[name] > 0
        for circumstances in range(len(CIRCUMSTANCES))
    ]


async def make_plans(pack: Pack, model: str, ask: AskMany, counts: AgentCounts) -> dict[Kind, list[Plan]]:
    """Plans for every kind of visit. `ask` gives the outcomes of questions in their order. TutorError when it is
    hopeless to ask; a ceiling that is reached leaves the rest without plans."""
    plans: dict[Kind, list[Plan]] = {kind: [] for kind in kinds_of(pack)}
    for number in range(ROUNDS):
        open_ = [kind for kind, known in plans.items() if len(known) < PLANS_PER_CALL / (1 + number)]
        if not open_:
            break
        requests = [request_of(pack, model, kind, plans[kind], number) for kind in open_]
        for kind, outcome in zip(open_, await ask(requests), strict=True):
            if isinstance(outcome, TutorError):
                counts.errors[outcome.kind] += 1
                if outcome.scope == "tutor" and not isinstance(outcome, BudgetError):
                    raise outcome
                continue
            counts.questions += 1
            found, invalid = read_plans(outcome.content, pack.product)
            kept = different(found, plans[kind])
            plans[kind] += kept
            counts.plans += len(kept)
            counts.duplicate_plans += len(found) - len(kept)
            counts.refused["malformed"] += invalid
    return plans


def request_of(pack: Pack, model: str, kind: Kind, known: Sequence[Plan], number: int) -> Request:
    """The question for plans of one kind, beside those that are known already."""
    prompt, product, persona = load_prompt("plan"), pack.product, pack.personas[kind.persona]
    name, intent = list(product.intents.items())[kind.intent]
    events = [(event, spec.summary) for event, spec in product.events.items() if spec.weight > 0]
    problems = [(problem, spec.summary) for problem, spec in product.problems.items()]
    tastes = ", ".join(f"{taste} {weight:g}" for taste, weight in persona.tastes.items())
    traits = ", ".join(f"{trait} {_mean(spec)}" for trait, spec in persona.traits.items())
    about = (
        f"{data(persona.title, 200)}. {data(persona.story, 1500)}\nVoice: {data(persona.voice, 600)}\n"
        f"Traits from 0 to 1, on average: {traits or 'none'}.\nTastes: {tastes or 'all alike'}.\n"
        f"Patience: about {persona.patience.median:g} steps in a visit."
    )
    avoid = prompt.render("avoid", paths="\n".join(", ".join(plan.path) for plan in known)) if known else ""
    count = PLANS_PER_CALL - len(known)
    return Request(
        model=model,
        purpose="plan",
        prompt=prompt.label,
        system=prompt.render(
            "system", title=data(product.title), summary=data(product.summary, 1000), events=_lines(events),
            problems=_lines(problems) or "nothing", categories=", ".join(pack.catalog.categories),
        ),
        context=prompt.render("context", persona=about),
        messages=(
            Message(
                role="user",
                text=prompt.render(
                    "message", goal=f"{name}: {data(intent.summary, 300)}", count=str(count),
                    circumstances=CIRCUMSTANCES[kind.circumstances], avoid=f" {avoid}" if avoid else "",
                ),
            ),
        ),
        schema_name="plans",
        answer_schema=plans_schema(product, pack.catalog.categories, PLANS_PER_CALL),
        max_tokens=200 + TOKENS_PER_PLAN * count,
        sample=number,
    )  # fmt: skip


def _lines(named: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{name}: {data(summary or name, 200)}" for name, summary in named)


def _mean(spec: object) -> str:
    mean, low, high = (getattr(spec, name) for name in ("mean", "low", "high"))
    return f"{(low + high) / 2 if mean is None else mean:.2f}"


def summary_of(plans: Mapping[Kind, Sequence[Plan]]) -> tuple[int, int]:
    """How many plans there are, and how many kinds of visits have none."""
    return sum(map(len, plans.values())), sum(not known for known in plans.values())
