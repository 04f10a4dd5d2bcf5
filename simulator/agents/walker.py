"""The walker: language-model agents choose what users do, step by step, through the seam of choosing.

For every session in flight one question is asked per step, all of them at once: the persona, the goal, what is
remembered, the screen as text, and what is possible. What is answered is held to what was offered; an impossible move
is refused, counted, and asked again with the reason. Three refusals in a row end the session as `agent_error`. The
world, its problems, arrivals and satisfaction are the engine's own: nothing of them is here.

Who cannot be asked any more because the money is used up steps down to the Behaviour, for life. The walker adds no
randomness: with the same answers a run is the same. Knows the seam to language models and no SDK.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from personas.errors import BudgetError, TutorError
from personas.population import Population
from personas.randomness import U64, fold
from simulator.agents.asking import Asker, all_at_once
from simulator.agents.decision import Decision, read_decision
from simulator.agents.language import Message, Request
from simulator.agents.memory import Memory, Step
from simulator.agents.prompt import data, load_prompt
from simulator.agents.screen import Offer, Screens, steady_schema
from simulator.choice import (
    AGENT_ERROR,
    LEFT,
    OUTCOMES,
    PATIENCE,
    PROBLEM,
    STEP_BOUND,
    STEPPED_DOWN,
    BehaviourChooser,
    Choices,
)
from simulator.pool import Pool
from simulator.world import I64, World

log = logging.getLogger("dayone.simulator")

#: The purpose of the number that tells apart questions that read the same (others: see `engine`).
SAMPLE = 20


@dataclass(frozen=True)
class WalkRules:
    """How far a walk goes. `refusals` in a row end the session; nobody does more than `step_bound` steps, or more than
    `patience_factor` times the user's patience, in one visit, wherever it can be left. `at_once`: questions prepared
    at the same time (what is really sent at once is up to the language model). `exact`: the schema of each answer lists
    what is possible at that moment, so that a model held to it by a grammar can name nothing else; not exact, the
    schema is the same for all questions, so that a provider can cache what it begins with and compile it once, and
    what is impossible is refused with the reason."""

    refusals: int = 3
    step_bound: int = 60
    patience_factor: float = 1.5
    exact: bool = True
    max_tokens: int = 300
    at_once: int = 256


@dataclass
class _Question:
    """One decision that has to be asked for: the row of the pool and what it may be answered."""

    row: int
    user: int
    offer: Offer
    message: str
    samples: list[int]


class Walker:
    """A Chooser whose users are agents. `fallback` plays those who step down. `run` runs a coroutine to its end (one
    event loop for the life of the language model). When `stopping()`, `choose` raises Interrupted."""

    def __init__(
        self,
        population: Population,
        world: World,
        fallback: BehaviourChooser,
        asker: Asker,
        model_name: str,
        *,
        runner: asyncio.Runner,
        rules: WalkRules | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.population, self.world, self.fallback = population, world, fallback
        self.asker, self.model_name, self.runner = asker, model_name, runner
        self.counts = asker.counts
        self.rules = rules or WalkRules()
        self.stopping = stopping
        self.screens = Screens(world, population)
        self.prompt = load_prompt("walk")
        self._leave = world.legal.shape[1] - 1
        self._problems = list(world.pack.product.problems)
        self._memories: dict[int, Memory] = {}
        self._contexts: dict[int, str] = {}
        self._words: dict[int, str] = {}
        self._stepped_down: set[int] = set()
        self._began_as_agent: dict[int, bool] = {}
        self._schema = steady_schema(world)
        product = world.pack.product
        self._system = self.prompt.render("system", title=data(product.title), summary=data(product.summary, 1000))

    def begin(self, pool: Pool, rows: I64) -> None:
        """A visit begins with an empty list of steps."""
        for user in pool.user[rows].tolist():
            self._memory(user).steps = []
            self._began_as_agent[user] = user not in self._stepped_down

    def finish(self, pool: Pool, rows: I64) -> None:
        """The visit becomes a line of memory, and gets its outcome: 0 where no agent had a part in it."""
        intents = list(self.world.pack.product.intents)
        for row in rows.tolist():
            user = int(pool.user[row])
            self._memory(user).end(
                at=int(pool.ended[row]), intent=intents[int(pool.intent[row])], reached=bool(pool.reached[row]),
                converted=bool(pool.converted[row]),
            )  # fmt: skip
            pool.outcome[row] = self._outcome(pool, row, user)
            self.counts.outcomes[OUTCOMES[int(pool.outcome[row])]] += 1

    def _outcome(self, pool: Pool, row: int, user: int) -> int:
        if user in self._stepped_down:
            return STEPPED_DOWN if self._began_as_agent.pop(user, False) else 0
        if pool.outcome[row] == 0:  # the engine ended it
            problem = int(pool.problem[row])
            return PROBLEM if problem >= 0 and self.world.problem_ends[problem] else STEP_BOUND
        return int(pool.outcome[row])

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        """One decision for every row. Raises Interrupted when told to stop, TutorError when nobody can be asked."""
        choices = Choices.blank(len(pool))
        choices.event[:] = self._leave
        self._observe(pool)
        samples = self._samples(key)
        questions: list[_Question] = []
        down: list[int] = []
        for row in np.flatnonzero(~pool.over).tolist():
            user = int(pool.user[row])
            if user in self._stepped_down:
                down.append(row)
            elif not self._bounded(pool, row, int(situation[row]), choices):
                offer = self.screens.offer(pool, row, int(situation[row]))
                self.counts.decisions += 1
                if offer.forced is not None:
                    self.counts.forced += 1
                    choices.event[row] = offer.events[offer.forced]
                else:
                    message = self._message(pool, row, int(situation[row]))
                    questions.append(_Question(row, user, offer, message, samples[row]))
        if questions:
            self._ask(questions, choices, down, pool)
        self._fall_back(pool, situation, key, choices, down)
        choices.outcome[(choices.event == self._leave) & (choices.outcome == 0) & ~pool.over] = LEFT  # type: ignore[index]
        return choices

    def _bounded(self, pool: Pool, row: int, situation: int, choices: Choices) -> bool:
        """Whether the visit ends here because it went on for too long; not where it cannot be left."""
        done = int(pool.events[row])
        patience = float(self.population.patience[pool.user[row]])
        if done == 0 or not self.world.legal[situation, -1]:
            return False
        if done >= self.rules.step_bound:
            choices.outcome[row] = STEP_BOUND  # type: ignore[index]
        elif done >= self.rules.patience_factor * patience:
            choices.outcome[row] = PATIENCE  # type: ignore[index]
        return bool(choices.outcome[row])  # type: ignore[index]

    def _fall_back(self, pool: Pool, situation: I64, key: U64, choices: Choices, down: list[int]) -> None:
        """The rows that no agent decides any more: by the Behaviour. Who has failed makes one last move if it is the
        first of the visit, because there is no visit without an event."""
        failed = np.flatnonzero((choices.outcome == AGENT_ERROR) & (pool.events == 0)).tolist()
        rows = np.array(sorted({*down, *failed}), dtype=np.int64)
        if len(rows):
            choices.event[rows] = self.fallback.choose(pool.view(rows), situation[rows], key[rows]).event
            choices.dwell_ms[rows] = choices.place[rows] = -1  # type: ignore[index]

    def _ask(self, questions: list[_Question], choices: Choices, down: list[int], pool: Pool) -> None:
        async def one(question: _Question) -> None:
            try:
                decision = await self._decide(question)
            except BudgetError:
                self._step_down(question.user, int(pool.clock[question.row]))
                down.append(question.row)
            else:
                self._take(question, decision, choices)

        at_once = min(len(questions), self.rules.at_once)
        self.runner.run(all_at_once(questions, one, self.stopping, at_once))

    def _take(self, question: _Question, decision: Decision | None, choices: Choices) -> None:
        row = question.row
        if decision is None:
            choices.outcome[row] = AGENT_ERROR  # type: ignore[index]
            return
        choices.event[row] = decision.event
        choices.place[row], choices.category[row] = decision.place, decision.category  # type: ignore[index]
        choices.dwell_ms[row] = decision.dwell_ms  # type: ignore[index]
        if decision.words is not None:
            choices.words[row] = self._words[question.user] = decision.words  # type: ignore[index]

    async def _decide(self, question: _Question) -> Decision | None:
        """The decision, or None when the agent has failed. BudgetError when there is no money to ask with."""
        messages: tuple[Message, ...] = (Message(role="user", text=question.message),)
        for attempt in range(self.rules.refusals):
            try:
                content = await self.asker.ask(self._request(question, messages, attempt))
            except BudgetError:
                raise
            except TutorError as error:
                if error.scope == "tutor":
                    raise
                if error.scope == "session":
                    return None
                continue
            found = read_decision(content, question.offer)
            if isinstance(found, Decision):
                return found
            self.counts.refused[found.kind] += 1
            again = self.prompt.render("refused", reason=found.reason)
            said = Message(role="assistant", text=json.dumps(content, ensure_ascii=False, default=str)[:1000])
            messages = (messages[0], said, Message(role="user", text=again))
        return None

    def _request(self, question: _Question, messages: tuple[Message, ...], attempt: int) -> Request:
        return Request(
            model=self.model_name,
            purpose="walk",
            prompt=self.prompt.label,
            system=self._system,
            context=self._context(question.user),
            messages=messages,
            schema_name="move",
            answer_schema=question.offer.exact_schema if self.rules.exact else self._schema,
            max_tokens=self.rules.max_tokens,
            sample=question.samples[attempt],
        )

    def _samples(self, key: U64) -> list[list[int]]:
        """[n, refusals]: what tells the questions of each row, and their repetitions, apart from all others: 52 bits of
        the step's random key."""
        own = fold(key, SAMPLE)
        columns = [fold(own, attempt) >> np.uint64(12) for attempt in range(self.rules.refusals)]
        return [list(row) for row in np.stack(columns, axis=1).tolist()]

    def _message(self, pool: Pool, row: int, situation: int) -> str:
        memory, screens = self._memory(int(pool.user[row])), self.screens
        return self.prompt.render(
            "message", memory=memory.earlier(int(pool.clock[row])), goal=screens.goal(pool, row),
            steps=memory.so_far(), mood=screens.mood(pool, row), screen=screens.screen(pool, row, situation),
            actions=screens.actions(pool, row, situation),
        )  # fmt: skip

    def _context(self, user: int) -> str:
        if user not in self._contexts:
            persona, attributes = self.screens.persona(user), self.screens.attributes(user)
            self._contexts[user] = self.prompt.render("context", persona=persona, attributes=attributes)
        return self._contexts[user]

    def _memory(self, user: int) -> Memory:
        return self._memories.setdefault(user, Memory())

    def _observe(self, pool: Pool) -> None:
        """What came of the decisions before: into the steps of each visit, once."""
        for row in np.flatnonzero(pool.events > 0).tolist():
            user = int(pool.user[row])
            steps = self._memory(user).steps
            if len(steps) < int(pool.events[row]):
                problem = int(pool.problem[row])
                steps.append(
                    Step(
                        event=self.screens.events[int(pool.last[row])], about=self.screens.subject_of(pool, row),
                        problem="" if problem < 0 else self._problems[problem], words=self._words.pop(user, ""),
                    )
                )  # fmt: skip

    def _step_down(self, user: int, at: int) -> None:
        self._stepped_down.add(user)
        self.counts.stepped_down = len(self._stepped_down)
        if self.counts.stepped_down_at is None:
            log.warning("the budget of the tutor is used up: from here on its users are played by the Behaviour")
            self.counts.stepped_down_at = at
        self.counts.stepped_down_at = min(self.counts.stepped_down_at, at)
