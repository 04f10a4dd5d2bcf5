"""What a session is expected to hold, computed from a Behaviour without playing: a Markov chain per persona and intent.

States are what the engine's next-event weights depend on, and whether the goal was reached.
Fatigue makes the chain change with every step, but only in the weight of leaving; so the flow out of a state is a
constant matrix times (mass / total weight), and the totals of all counts follow from the summed quotients.
The chain itself is found by `chain`. Two ways were weighed: playing a small sample (noisy), or this, which
is exact up to its simplifications: all users of a persona have its median patience and the mean effect of its traits,
and items the mean appeal of those that are chosen. Knows no calendar (see `forecast`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.pack import Pack
from personas.population import UNNAMED_TASTE, quantiles, trait_names
from personas.randomness import F64
from simulator.behaviour.model import Behaviour
from simulator.chain import Chain, explore
from simulator.engine import MAX_EVENTS_PER_SESSION
from simulator.slates import Rankings
from simulator.world import BAG_ADD, I64, World

#: A chain ends when this share of the sessions is left in it.
REST = 1e-3


@dataclass(frozen=True)
class Expectation:
    """Per session of a persona (P) with an intent (G): expected counts of `events` [P, G, E] and of `problems`
    [P, G, M]; the share of sessions with at least one of each funnel event, `funnel` [P, G, steps], and with the goal,
    `reached` [P, G] (0 where the intent has none). `intents` [P, G] are the shares of the intents of each persona. By
    screen, `spent` [P, G, screens] events are expected there, and it is `entered` [P, G, screens] from another."""

    intents: F64
    events: F64
    problems: F64
    funnel: F64
    reached: F64
    spent: F64
    entered: F64

    @property
    def events_per_session(self) -> F64:
        """[P]: the expected length of a session of each persona."""
        return np.asarray((self.intents * self.events.sum(axis=2)).sum(axis=1))


def expect(pack: Pack, world: World, behaviour: Behaviour, rankings: Rankings) -> Expectation:
    """The expected session of every persona and intent, at the declared problem rates."""
    columns = _Columns(pack, world, behaviour, rankings, explore(world, behaviour))
    before, after = columns.visits(None)
    events, problems, reached = columns.counts(before, after)
    spent, entered = columns.stays(before + after)
    names = list(pack.product.events)
    steps = [columns.spread(columns.hits(names.index(step))[None]) for step in pack.product.funnel]
    return Expectation(
        intents=behaviour.intents,
        events=columns.spread(events),
        problems=columns.spread(problems),
        funnel=np.concatenate(steps, axis=2) if steps else np.zeros((*behaviour.intents.shape, 0)),
        reached=columns.spread(reached[None])[:, :, 0],
        spent=columns.spread(spent),
        entered=columns.spread(entered),
    )


class _Columns:
    """The chain with weights: one column for each persona and intent that go together."""

    def __init__(self, pack: Pack, world: World, behaviour: Behaviour, rankings: Rankings, chain: Chain) -> None:
        self.events, self.problems = world.legal.shape[1] - 1, len(world.problem_emits)
        self.shape = behaviour.intents.shape
        who, intent = self.columns = np.nonzero(behaviour.intents)
        self.screen, self.screens = chain.screen, len(world.situations.screens)
        self.states, self.width = len(chain.situation), len(who)
        self.patience = np.array([persona.patience.median for persona in pack.personas])[who]
        bend = _bend(pack, behaviour)
        appeal = _chosen_appeal(pack, behaviour, rankings)
        order = np.lexsort((chain.edges.source, chain.edges.target))
        self.source, self.target = chain.edges.source[order], chain.edges.target[order]
        self.happens, self.problem = chain.edges.happens[order], chain.edges.problem[order]
        attempt, chance = chain.edges.attempt[order], chain.edges.chance[order]
        table = behaviour.next_event
        base = table[who[None, :], intent[None, :], chain.situation[self.source][:, None], attempt[:, None]]
        left = chain.factors[chain.kind[self.source], attempt] * chance
        liked = (world.bag[attempt] == BAG_ADD) & chain.focused[self.source]
        bent = bend[who[None, :], attempt[:, None]] * np.where(liked[:, None], appeal[who][None, :], 1.0)
        self.weight = (base * left[:, None] * bent).astype(np.float32)
        leave = table[who[None, :], intent[None, :], chain.situation[:, None], -1] * world.legal[chain.situation, -1:]
        self.leave = (leave * chain.factors[chain.kind, -1:] * bend[who, -1][None, :]).astype(np.float32)
        self.total = np.zeros((self.states, self.width), dtype=np.float32)
        by_source = np.argsort(self.source, kind="stable")
        here, begin = np.unique(self.source[by_source], return_index=True)
        self.total[here] = _sum(self.weight[by_source], begin)
        self.more_likely = behaviour.leave_after_goal[intent].astype(np.float32)
        self.fatigue = behaviour.fatigue
        self.to_goal = self.happens[:, None] == world.goal[intent][None, :]

    def visits(self, without: int | None) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Summed over all steps, mass / total weight of each state before and after the goal was reached. `without`
        ends a session at this event."""
        goes_on = self.target >= 0
        if without is not None:
            goes_on &= self.happens != without
        goes_on &= self._within_reach(goes_on)[self.source]
        stays = np.flatnonzero(goes_on)
        move, begin = np.unique(self.target[stays] * self.states + self.source[stays], return_index=True)
        source, goal = move % self.states, self.to_goal[stays]
        done = _sum(np.where(goal, self.weight[stays], 0), begin)
        open_ = _sum(np.where(goal, 0, self.weight[stays]), begin)
        every = open_ + done
        target, begin = np.unique(move // self.states, return_index=True)
        before = np.zeros((self.states, self.width), dtype=np.float32)
        after, sum_before, sum_after = before.copy(), before.copy(), before.copy()
        before[0] = 1.0
        for step in range(MAX_EVENTS_PER_SESSION):
            tired = np.maximum(step / self.patience, 1.0) ** self.fatigue if step else np.zeros(self.width)
            leave = self.leave * tired.astype(np.float32)
            before /= np.maximum(self.total + leave, 1e-30)
            after /= np.maximum(self.total + leave * self.more_likely, 1e-30)
            sum_before += before
            sum_after += after
            out, late = before[source], after[source]
            late *= every
            late += out * done
            out *= open_
            before[:], after[:] = 0, 0
            before[target], after[target] = _sum(out, begin), _sum(late, begin)
            if float(before.sum() + after.sum()) < REST * self.width:
                break
        return sum_before, sum_after

    def spread(self, values: F64) -> F64:
        """Values [n, columns] as [P, G, n]; 0 for what does not go together."""
        table = np.zeros((*self.shape, len(values)))
        table[self.columns] = values.T
        return table

    def _within_reach(self, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """The states that can be reached from the start over the allowed edges."""
        source, target = self.source[allowed], self.target[allowed]
        reached = np.zeros(self.states, dtype=bool)
        reached[0], count = True, 0
        while count != (count := int(reached.sum())):
            reached[target[reached[source]]] = True
        return reached

    def counts(self, before: Any, after: Any) -> tuple[F64, F64, F64]:
        """Expected events [E, columns], problems [M, columns], and the share that reached the goal [columns]."""
        flow = (before + after)[self.source] * self.weight
        events = np.stack([flow[self.happens == event].sum(axis=0) for event in range(self.events)])
        problems = np.stack([flow[self.problem == number].sum(axis=0) for number in range(-1, self.problems)])[1:]
        reached = (before[self.source] * self.weight * self.to_goal).sum(axis=0, dtype=np.float64)
        return events, problems, reached

    def stays(self, visits: Any) -> tuple[F64, F64]:
        """Expected events on each screen, and entries into it from another or at the start [screens, columns]."""
        flow = visits[self.source] * self.weight
        here = self.screen[self.source]
        there = np.where(self.target >= 0, self.screen[self.target], -1)
        spent = np.stack([flow[here == screen].sum(axis=0) for screen in range(self.screens)])
        entered = np.stack([flow[(there == screen) & (here != screen)].sum(axis=0) for screen in range(self.screens)])
        entered[self.screen[0]] += 1.0
        return spent, entered

    def hits(self, event: int) -> F64:
        """The share of sessions [columns] with at least one such event."""
        before, after = self.visits(event)
        rows = np.flatnonzero(self.happens == event)
        return np.asarray(((before + after)[self.source[rows]] * self.weight[rows]).sum(axis=0, dtype=np.float64))


def _bend(pack: Pack, behaviour: Behaviour) -> F64:
    """[P, E+1]: the mean over a persona's users of the factor by which traits bend the weights."""
    factors = np.ones((len(pack.personas), behaviour.traits.shape[1]))
    for column, name in enumerate(trait_names(pack)):
        for row, persona in enumerate(pack.personas):
            values = quantiles(persona.traits[name], 64) if name in persona.traits else np.array([0.5])
            factors[row] *= np.exp((2 * values[:, None] - 1) * behaviour.traits[column][None, :]).mean(axis=0)
    return factors


def _chosen_appeal(pack: Pack, behaviour: Behaviour, rankings: Rankings) -> F64:
    """[P]: the mean appeal of the items that users of a persona choose, at the persona's mean price trait."""
    trait, levels = pack.product.choice.price_trait, len(behaviour.appeal)
    result = np.ones(len(pack.personas))
    categories = pack.catalog.categories
    item_category = np.array([categories.index(item.category) for item in pack.catalog.items])
    for row, persona in enumerate(pack.personas):
        value = 0.0
        if trait is not None:
            value = float(quantiles(persona.traits[trait], 64).mean()) if trait in persona.traits else 0.5
        appeal = behaviour.appeal[min(int(value * levels), levels - 1)].astype(np.float64)
        taste = np.array([persona.tastes.get(name, UNNAMED_TASTE if persona.tastes else 1.0) for name in categories])
        weight = taste[item_category] * appeal
        if weight.sum() > 0:
            result[row] = float((weight * appeal).sum() / weight.sum())
    return result


def _sum(values: npt.NDArray[Any], begin: I64) -> npt.NDArray[np.float32]:
    """Sums of consecutive rows; each run of rows starts at one of `begin`."""
    return np.add.reduceat(values, begin, axis=0, dtype=np.float32) if len(begin) else values[:0].astype(np.float32)
