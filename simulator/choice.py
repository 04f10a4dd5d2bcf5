"""Who chooses what happens next: the seam between the engine and whoever plays the users.

The engine keeps the sessions, the world keeps the rules; a `Chooser` says for each session in flight which event comes
next, or that the user leaves, and where it has an opinion also which item, which category, how long the user stays and
in which words. What it leaves open is drawn from the Behaviour. Every teacher is one: `BehaviourChooser` (here) draws
from tables, the tutor asks a language model, a plan bends the tables, a recorder wraps any of them.

A chooser is asked for many sessions at once and may keep state by user: a user has one session at a time, and the
engine says when it begins and when it ends. What it answers may depend on the rows alone, never on which other rows
happen to be in the pool, or a run would not be the same twice. Two ways were weighed: a second engine for agents (a
second world to keep true), or this. Knows no language model.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from personas import event as contract
from personas.population import Population
from personas.randomness import U64, fold, uniform
from simulator.behaviour.model import F32, Behaviour
from simulator.effects import price_level
from simulator.pool import Pool
from simulator.world import BAG_ADD, I64, ITEM_OF_SLATE, SHOWN, World

#: The purpose of the random number that draws the next event (others: see `engine`).
NEXT_EVENT = 2
#: How a session can end by numbers; 0: no agent walked it.
OUTCOMES = ("", *contract.OUTCOMES)
LEFT, PATIENCE, STEP_BOUND, PROBLEM, AGENT_ERROR, STEPPED_DOWN = 1, 2, 3, 4, 5, 6


class Interrupted(Exception):
    """A chooser was told to stop while it was asked. What the engine was playing is void, and so is the engine."""


@dataclass
class Choices:
    """What happens next in each of n sessions. `event` [n] is the row of an event, E to leave. Optional, -1 (or None)
    where it is left to the Behaviour: `place` on the slate (from 0), `category` for events that draw one, `dwell_ms`
    after the event, `words` (text that the user writes). `outcome` [n] (see OUTCOMES): above 0 the session ends, with
    this event as its last if it is one."""

    event: I64
    place: I64 | None = None
    category: I64 | None = None
    dwell_ms: I64 | None = None
    words: npt.NDArray[np.object_] | None = None
    outcome: I64 | None = None

    @classmethod
    def blank(cls, count: int) -> Choices:
        """Everything still open; `event` has to be filled."""
        nothing = np.full(count, -1, dtype=np.int64)
        return cls(
            event=nothing.copy(), place=nothing.copy(), category=nothing.copy(), dwell_ms=nothing.copy(),
            words=np.full(count, None, dtype=np.object_), outcome=np.zeros(count, dtype=np.int64),
        )  # fmt: skip

    def put(self, rows: I64, other: Choices) -> None:
        """Replace the given rows by what another chose for them; both leave the same things open."""
        for field in fields(self):
            ours: npt.NDArray[Any] | None = getattr(self, field.name)
            if ours is not None:
                ours[rows] = getattr(other, field.name)

    def keep(self, rows: I64) -> None:
        """Drop all other rows."""
        for field in fields(self):
            if (values := getattr(self, field.name)) is not None:
                setattr(self, field.name, values[rows])


class Chooser(Protocol):
    """Chooses for the users of one engine. `rows` are rows of the pool; `pool.user` are rows of the population."""

    def begin(self, pool: Pool, rows: I64) -> None:
        """Sessions begin in these rows: intent and category are drawn, nothing has happened yet."""
        ...

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        """The next event of every row, legal in its situation (a row of `World.legal`). `key` is the random key of the
        step. Rows that are `over` end whatever is chosen. The first event of a session is never leaving."""
        ...

    def finish(self, pool: Pool, rows: I64) -> None:
        """Sessions have ended in these rows, which still hold their last state. May set `pool.outcome` of them."""
        ...


class BehaviourChooser:
    """Draws from a Behaviour: the next event by its weights, everything else left to the engine's own draws."""

    def __init__(self, population: Population, world: World, behaviour: Behaviour) -> None:
        self.population, self.world, self.behaviour = population, world, behaviour
        self._level = price_level(population, world, behaviour)
        self._bend = self._trait_factors()
        self._weights = (behaviour.next_event * world.legal[None, None]).reshape(-1, world.legal.shape[1])

    def begin(self, pool: Pool, rows: I64) -> None:
        """Nothing is kept."""

    def finish(self, pool: Pool, rows: I64) -> None:
        """Nothing is kept."""

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        """One event for every row, drawn by weight."""
        return Choices(draw_event(self.weights(pool, situation), key))

    def weights(self, pool: Pool, situation: I64) -> F32:
        """[n, E+1]: the weight of every event, and of leaving (last), for every row; 0 where it is illegal."""
        behaviour, persona = self.behaviour, self.population.persona[pool.user]
        intents, rows = behaviour.intents.shape[1], self.world.legal.shape[0]
        # `take` gathers whole rows ten times as fast as an index does
        weight: F32 = self._weights.take((persona * intents + pool.intent) * rows + situation, axis=0)
        weight *= behaviour.after.take(pool.last, axis=0)
        weight *= self._bend.take(pool.user, axis=0)
        troubled = np.flatnonzero(pool.problem >= 0)
        if len(troubled):
            weight[troubled] *= behaviour.reaction[pool.problem[troubled]]
        focused = np.flatnonzero(pool.focus >= 0)
        if len(focused):
            appeal = behaviour.appeal[self._level[pool.user[focused]], pool.focus[focused]]
            for column in np.flatnonzero(self.world.bag == BAG_ADD):
                weight[focused, column] *= appeal
        tired = np.maximum(pool.events / self.population.patience[pool.user], 1.0)
        leave = weight[:, -1] * (tired**2 if behaviour.fatigue == 2.0 else tired**behaviour.fatigue)
        leave = leave * np.where(pool.reached, behaviour.leave_after_goal[pool.intent], 1.0)
        weight[:, -1] = np.where(pool.events == 0, 0.0, leave)
        return weight

    def _trait_factors(self) -> F32:
        """[user, E+1]: how each user's traits bend the weights; summed trait by trait, in a fixed order."""
        total = np.zeros((len(self.population), self.behaviour.traits.shape[1]))
        for column, coefficients in enumerate(self.behaviour.traits):
            if coefficients.any():
                total += (2.0 * self.population.traits[:, column] - 1.0)[:, None] * coefficients[None, :]
        bend: F32 = np.exp(total).astype(np.float32)
        return bend


def draw_event(weight: F32, key: U64) -> I64:
    """For every row the event that its random number falls on, by weight [n, E+1]. Nothing legal means leaving (E)."""
    cumulative = np.cumsum(weight, axis=1)
    total = cumulative[:, -1]
    point = (uniform(fold(key, NEXT_EVENT)) * total).astype(np.float32)
    choice = (cumulative <= point[:, None]).sum(axis=1)
    last = weight.shape[1] - 1
    # a number that rounds up to the total falls on the last event with a weight; nothing legal means leaving
    over = (choice > last) | (total <= 0)
    if over.any():
        rows = np.flatnonzero(over)
        best = last - np.argmax(weight[rows, ::-1] > 0, axis=1)
        choice[rows] = np.where(total[rows] > 0, best, last)
    return np.asarray(choice)


def may_choose(world: World) -> npt.NDArray[np.bool_]:
    """[S, E+1]: what a user may do in each situation: legal, and not an event that only a problem brings about."""
    willed = [event.weight > 0 for event in world.pack.product.events.values()]
    return np.asarray(world.legal & np.array([*willed, True]))


def refuse_illegal(world: World, pool: Pool, situation: I64, choices: Choices) -> None:
    """ValueError when a chooser breaks a rule of the world: a mistake in the chooser, so nothing is played on."""
    going = ~pool.over
    event, leave = choices.event[going], world.legal.shape[1] - 1
    wrong = ~world.legal[situation[going], event] | ((event == leave) & (pool.events[going] == 0))
    if wrong.any():
        names = [*world.situations.events, "leave"]
        screens = np.array(world.situations.screens)[pool.screen[going][wrong]]
        found = sorted({f"{names[e]} on {s}" for e, s in zip(event[wrong].tolist(), screens.tolist(), strict=True)})
        raise ValueError(f"the chooser broke the rules of the world: {', '.join(found)}")
    if choices.place is not None:
        takes = np.append(world.item == ITEM_OF_SLATE, False)[choices.event]
        if (going & takes & (choices.place >= pool.counters[:, SHOWN])).any():
            raise ValueError("the chooser took an item from a place of the slate that shows none")
