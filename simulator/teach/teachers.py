"""Who teaches: language-model agents, or an oracle that costs nothing. To a course, both are deciders with a bill.

The bill counts every answer at its price, whether it was paid now or is repeated from a recording. So a course goes the
same way when it is repeated; what is really paid is held by the budget, which knows nothing of repeated answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from personas.errors import TutorError
from personas.population import Population
from personas.randomness import U64
from simulator.agents.language import Answer, LanguageModel, Request, Usage
from simulator.agents.many import ask_many
from simulator.agents.prices import ModelEntry
from simulator.behaviour.model import Behaviour
from simulator.choice import BehaviourChooser, Chooser
from simulator.choice import Choices as Chosen
from simulator.pool import Pool
from simulator.teach.oracle import DOLLARS_PER_DECISION
from simulator.tutoring import Tutoring
from simulator.world import I64, World


@dataclass
class Bill:
    """What was asked so far: answers, tokens by type, and dollars at the list price."""

    calls: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    dollars: float = 0.0

    def add(self, usage: Usage, dollars: float) -> None:
        """One answer more."""
        self.calls += 1
        self.dollars += dollars
        for name, number in usage.model_dump().items():
            self.tokens[name.removesuffix("_tokens")] += number


class TeacherOfCourse(Protocol):
    """A decider with a name and a bill. `agents_only`: visits that no agent walked to the end teach nothing.
    `by_themselves`: visits came about without a course, so they tell what people come for, too."""

    kind: Literal["tutor", "oracle", "log"]
    model: str
    prompts: str
    agents_only: bool
    by_themselves: bool
    bill: Bill

    @property
    def behaviour(self) -> Behaviour: ...
    @property
    def exhausted(self) -> bool:
        """Whether the ceiling of dollars was hit."""
        ...

    @property
    def origin(self) -> dict[str, Any]:
        """What the lineage says of the files that visits were read from; nothing of visits that were played."""
        ...

    @property
    def paid(self) -> float:
        """Dollars that were really spent, or may have been."""
        ...

    def chooser(self, population: Population, world: World) -> Chooser: ...


class OracleTeacher:
    """Decides as a known Behaviour; each decision is billed as if it had been asked for."""

    kind: Literal["tutor", "oracle", "log"] = "oracle"
    model, prompts, agents_only, exhausted, paid = "", "", False, False, 0.0
    by_themselves = False
    origin: dict[str, Any] = {}  # noqa: RUF012 - nothing is ever put in

    def __init__(self, behaviour: Behaviour, per_decision: float = DOLLARS_PER_DECISION) -> None:
        self.behaviour, self.per_decision = behaviour, per_decision
        self.bill = Bill()

    def chooser(self, population: Population, world: World) -> Chooser:
        """Draws from the truth, and counts."""
        return _Billed(BehaviourChooser(population, world, self.behaviour), self.bill, self.per_decision)


class _Billed:
    """Counts the decisions of another chooser as answers."""

    def __init__(self, inner: Chooser, bill: Bill, per_decision: float) -> None:
        self.inner, self.bill, self.per_decision = inner, bill, per_decision

    def begin(self, pool: Pool, rows: I64) -> None:
        self.inner.begin(pool, rows)

    def finish(self, pool: Pool, rows: I64) -> None:
        self.inner.finish(pool, rows)

    def choose(self, pool: Pool, situation: I64, key: U64) -> Chosen:
        asked = int(np.count_nonzero(~pool.over))
        self.bill.calls += asked
        self.bill.dollars += asked * self.per_decision
        return self.inner.choose(pool, situation, key)


class TutorTeacher:
    """Agents of a `Tutoring` that was opened; what they leave open is drawn from the prior."""

    kind: Literal["tutor", "oracle", "log"] = "tutor"
    agents_only, by_themselves = True, False
    origin: dict[str, Any] = {}  # noqa: RUF012 - nothing is ever put in

    def __init__(self, tutoring: Tutoring, prior: Behaviour, entry: ModelEntry) -> None:
        self.tutoring, self.behaviour = tutoring, prior
        self.model, self.prompts = tutoring.identity.model, tutoring.identity.prompts
        self.bill = Bill()
        assert tutoring.asker.model is not None, "the tutoring is not open"
        tutoring.asker.model = BilledModel(tutoring.asker.model, self.bill, entry)

    @property
    def exhausted(self) -> bool:
        """Whether an agent could not be asked any more."""
        return self.tutoring.asker.counts.stepped_down > 0

    @property
    def paid(self) -> float:
        """Dollars that were really spent, or may have been."""
        return self.tutoring.budget.spent

    def chooser(self, population: Population, world: World) -> Chooser:
        """Agents choose."""
        return self.tutoring.agents(population, world, BehaviourChooser(population, world, self.behaviour))


class BilledModel:
    """A language model whose answers are put on a bill, at the price of its usage."""

    def __init__(self, inner: LanguageModel, bill: Bill, entry: ModelEntry) -> None:
        self.inner, self.bill, self.entry = inner, bill, entry

    async def ask(self, request: Request) -> Answer:
        """The inner model's answer."""
        answer = await self.inner.ask(request)
        self.bill.add(answer.usage, self.entry.cost(answer.usage))
        return answer

    async def ask_many(self, requests: Sequence[Request]) -> list[Answer | TutorError]:
        """The inner model's outcomes. Batches are billed as if each question had been asked by itself."""
        outcomes = await ask_many(self.inner, requests)
        for outcome in outcomes:
            if isinstance(outcome, Answer):
                self.bill.add(outcome.usage, self.entry.cost(outcome.usage))
        return outcomes

    async def close(self) -> None:
        """Close the inner model."""
        await self.inner.close()
