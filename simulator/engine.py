"""The engine: plays the sessions of a whole population, one event per user and step, with arrays.

All users whose next session starts before a given instant form a pool; every step gives each of them one event. A user
whose session ends starts the next one in the same pool (if it is due), so the arrays stay full. Nothing is carried
between steps but the arrays of this class, and every random number is a hash of (seed, user, session, step, purpose):
what a user does depends neither on the other users in the pool nor on the instants at which `play` was called.
Two ways were weighed: all users' k-th sessions together, or a pool. The pool needs a third of the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.population import Population
from personas.randomness import U64, cumulative_shares, fold, interpolate, pick, uniform
from simulator.arrivals import BREAK_MS, NEVER, Arrivals, churn_hazard, return_factor, settle, users_at_start
from simulator.behaviour.model import Behaviour
from simulator.choice import BehaviourChooser, Choices, Chooser, refuse_illegal
from simulator.columns import Columns
from simulator.effects import CATEGORY, Effects
from simulator.pool import Pool
from simulator.problems import Problems
from simulator.slates import Rankings
from simulator.world import BAG as BAG_COUNT
from simulator.world import FOCUS, PAGE, SHOWN, World

# Purposes of random numbers; 2 belongs to choosing, 5, 6 and 8 to effects, 7 to problems.
INTENT, DWELL, LOAD, CHURN, GAP = 1, 3, 4, 9, 10
MAX_EVENTS_PER_SESSION = 400

#: What users wrote, by row of the user, number of the session and sequence of the event.
Words = dict[tuple[int, int, int], str]

EVENT_COLUMNS: dict[str, Any] = {
    "user": np.int32, "session": np.int32, "sequence": np.int16, "time": np.int64, "event": np.int16,
    "item": np.int32, "position": np.int8, "category": np.int16, "page": np.int16, "shown": np.int8,
    "slate": np.int32, "bag": np.int32, "bag_count": np.int8, "bag_cents": np.int64, "load_ms": np.int32,
    "problem": np.int8, "intent": np.int16,
}  # fmt: skip
SESSION_COLUMNS: dict[str, Any] = {
    "user": np.int32, "session": np.int32, "started": np.int64, "ended": np.int64, "events": np.int16,
    "items": np.int16, "converted": np.bool_, "value_cents": np.int64, "intent": np.int16, "reached": np.bool_,
    "satisfaction": np.float64, "churned": np.bool_, "weight": np.float64, "history_weight": np.float64,
    "outcome": np.int8,
}  # fmt: skip


@dataclass(frozen=True)
class Played:
    """What was played: columns of events, sessions, slates [n, widest] and bags [n, bag size]. In events, `slate` and
    `bag` are row numbers in the latter (-1: none), `user` is the row of the user in the population. `words` has what
    users wrote, by (user, session, sequence), where their chooser gave them words."""

    events: dict[str, npt.NDArray[Any]]
    sessions: dict[str, npt.NDArray[Any]]
    slates: dict[str, npt.NDArray[Any]]
    bags: npt.NDArray[np.int32]
    words: Words = field(default_factory=dict)


class Engine:
    """Plays a population. `play(until)` may be called with any rising instants; the union of what it returns does not
    depend on them. `problem_rates` and `arrival_rates` are steps (instant, factor) in rising order of instants."""

    def __init__(
        self, population: Population, world: World, behaviour: Behaviour, rankings: Rankings, arrivals: Arrivals,
        chooser: Chooser | None = None,
    ) -> None:  # fmt: skip
        self.population, self.world, self.behaviour = population, world, behaviour
        self.arrivals = arrivals
        self.next_start = users_at_start(population)
        self.sessions = np.zeros(len(population), dtype=np.int64)
        self.satisfaction = population.satisfaction.copy()
        self.history_weight = np.ones(len(population))
        self.ended = np.zeros(len(population), dtype=np.int64)
        self.effects = Effects(population, world, behaviour, rankings)
        self.problems = Problems(world)
        self.arrival_rates: list[tuple[int, float]] = [(0, 1.0)]
        self._intents = cumulative_shares(behaviour.intents)
        #: Whoever was handed in is checked against the world; the Behaviour's own weights are masked by it.
        self._checked = chooser is not None
        self.chooser: Chooser = chooser or BehaviourChooser(population, world, behaviour)
        self._events = Columns(EVENT_COLUMNS, capacity=1 << 16)
        self._sessions = Columns(SESSION_COLUMNS)
        self._words: Words = {}

    def play(self, until: int) -> Played:
        """Play every session that starts before `until` (milliseconds after the start of the run), to its end."""
        due = np.flatnonzero(self.next_start < until)
        if len(due):
            pool = Pool.start(due, self.world)
            self._begin(pool, np.arange(len(due)))
            while len(pool):
                self._step(pool, until)
        slates, bags = self.effects.slates.take(), self.effects.bags.take()
        words, self._words = self._words, {}
        return Played(self._events.take(), self._sessions.take(), slates, bags["items"], words)

    def change_arrival_rate(self, at: int, factor: float) -> None:
        """From the instant `at` on (everything before has been played) users come back `factor` times as often as
        declared. Sessions that are already due later are moved: what is left of an exponential gap is exponential
        again, so shrinking it is the same as drawing it anew, and needs no other random number."""
        before = self.arrival_rates[-1][1]
        self.arrival_rates.append((at, factor))
        rows = np.flatnonzero((self.next_start >= at) & (self.next_start < NEVER) & (self.sessions > 0))
        persona = self.population.persona[rows]
        now = self.arrivals.activity(np.full(len(rows), at), persona)
        left = self.arrivals.activity(self.next_start[rows], persona) - now
        earliest = np.maximum(self.ended[rows] + BREAK_MS, at)
        self.next_start[rows] = np.maximum(self.arrivals.instant(now + left * (before / factor), persona), earliest)

    def _begin(self, pool: Pool, rows: npt.NDArray[np.int64]) -> None:
        user = pool.user[rows]
        key = fold(self.population.key[user], self.sessions[user] + 1_000_000)
        intent = pick(self._intents, self.population.persona[user], uniform(fold(key, INTENT)))
        pool.begin(rows, key, self.next_start[user], intent, self.world)
        pool.category[rows] = self.effects.draw_category(user, fold(key, CATEGORY))
        self.chooser.begin(pool, rows)

    def _step(self, pool: Pool, until: int) -> None:
        """One event for everybody in the pool. Who leaves instead begins the next session if it is due before `until`
        (and has its first event in this step), or drops out."""
        leave = self.world.legal.shape[1] - 1
        key = fold(pool.key, pool.events)
        situation = self.world.situation(pool.screen, pool.counters)
        choices = self._choose(pool, situation, key)
        leaving = np.flatnonzero((choices.event == leave) | pool.over)
        if len(leaving):
            self._finish(pool, leaving)
            due = self.next_start[pool.user[leaving]] < until
            again = leaving[due]
            if len(again):
                self._begin(pool, again)
                key[again] = fold(pool.key[again], 0)
                fresh = pool.view(again)
                situation[again] = self.world.situation(fresh.screen, fresh.counters)
                choices.put(again, self._choose(fresh, situation[again], key[again]))
                pool.outcome[again] = fresh.outcome
            if not due.all():
                stay = np.ones(len(pool), dtype=bool)
                stay[leaving[~due]] = False
                rows = np.flatnonzero(stay)
                pool.keep(rows)
                key, situation = key[rows], situation[rows]
                choices.keep(rows)
        if len(pool):
            self._act(pool, key, situation, choices)

    def _choose(self, pool: Pool, situation: npt.NDArray[np.int64], key: U64) -> Choices:
        choices = self.chooser.choose(pool, situation, key)
        if self._checked:
            refuse_illegal(self.world, pool, situation, choices)
        if choices.outcome is not None:
            pool.outcome = np.where(choices.outcome > 0, choices.outcome, pool.outcome)
        return choices

    def _act(self, pool: Pool, key: U64, situation: npt.NDArray[np.int64], choices: Choices) -> None:
        world, count = self.world, len(pool)
        problem, event = self.problems.strike(pool, key, situation, choices.event)
        struck = problem >= 0
        item = self.effects.choose_item(pool, key, event, choices.place)
        position = pool.position.copy()
        self.effects.fill_bag(pool, event, item)
        bag_row = self.effects.keep_bags(pool, event)
        bag_count, bag_cents = pool.counters[:, BAG_COUNT].copy(), pool.bag_cents.copy()
        self.effects.empty_bag(pool, event)
        self.effects.set_category(pool, key, event, item, choices.category)
        slate_row = self.effects.show_slates(pool, key, event, problem)
        pool.counters += world.change[event]
        pool.counters[world.clear[event]] = 0
        np.clip(pool.counters, 0, world.limit, out=pool.counters)
        pool.focus = np.where(item >= 0, item, np.where(world.clear[event, FOCUS], -1, pool.focus))
        pool.counters[:, FOCUS] = pool.focus >= 0
        load = interpolate(self.behaviour.load, uniform(fold(key, LOAD)))
        load[struck] *= world.problem_delay[problem[struck]]
        load_ms = (load * 1000).astype(np.int64)
        self._events.append(
            count, user=pool.user, session=self.sessions[pool.user], sequence=pool.events, time=pool.clock, event=event,
            item=item, position=position, category=pool.category, page=pool.counters[:, PAGE],
            shown=pool.counters[:, SHOWN], slate=slate_row, bag=bag_row, bag_count=bag_count, bag_cents=bag_cents,
            load_ms=load_ms, problem=problem, intent=pool.intent,
        )  # fmt: skip
        pool.ended = pool.clock.copy()
        cells = self.behaviour.dwell.shape[1]
        place = uniform(fold(key, DWELL)) * (cells - 1)
        cell = place.astype(np.int64)
        low = self.behaviour.dwell[event, cell]
        dwell = low + (place - cell) * (self.behaviour.dwell[event, cell + 1] - low)
        dwell_ms = np.maximum((dwell * 1000).astype(np.int64), 1)
        if choices.dwell_ms is not None:
            dwell_ms = np.where(choices.dwell_ms >= 0, np.maximum(choices.dwell_ms, 1), dwell_ms)
        if choices.words is not None:
            self._keep_words(pool, choices.words)
        pool.clock += load_ms + dwell_ms
        pool.screen = np.where(world.to[event] >= 0, world.to[event], pool.screen)
        pool.events += 1
        pool.last = event
        pool.problem = problem
        pool.reached |= event == world.goal[pool.intent]
        won = np.flatnonzero(event == world.conversion)
        if len(won):
            pool.converted[won] = True
            pool.value_cents[won] += self.effects.worth(key[won], item[won], bag_cents[won])
        pool.over = (pool.events >= MAX_EVENTS_PER_SESSION) | (pool.outcome > 0)
        pool.over[struck] |= world.problem_ends[problem[struck]]

    def _keep_words(self, pool: Pool, words: npt.NDArray[np.object_]) -> None:
        """Before `pool.events` counts the event: what the user wrote belongs to it."""
        for row in np.flatnonzero([each is not None for each in words]).tolist():
            user = int(pool.user[row])
            self._words[user, int(self.sessions[user]), int(pool.events[row])] = words[row]

    def _finish(self, pool: Pool, rows: npt.NDArray[np.int64]) -> None:
        """Close sessions: satisfaction, churn, the next start, and the session's own row."""
        self.chooser.finish(pool, rows)
        user, people, loyalty = pool.user[rows], self.population, self.world.pack.product.loyalty
        reached = pool.reached[rows]
        base = people.satisfaction[user]
        level = settle(self.satisfaction[user], base, pool.dissatisfaction[rows], reached.astype(np.float64), loyalty)
        hazard = churn_hazard(people.churn[user], level, base, loyalty)
        churned = uniform(fold(pool.key[rows], CHURN)) < hazard
        started = pool.started[rows]
        rate = people.sessions_per_week[user] * return_factor(level, base, loyalty)
        rate *= step_at(self.arrival_rates, started)
        gap = fold(pool.key[rows], GAP)
        coming = self.arrivals.next_start(started, pool.ended[rows], people.persona[user], rate, gap)
        self.next_start[user] = np.where(churned, NEVER, coming)
        self.satisfaction[user], self.ended[user] = level, pool.ended[rows]
        self.history_weight[user] *= pool.weight[rows]
        self._sessions.append(
            len(rows), user=user, session=self.sessions[user], started=started, ended=pool.ended[rows],
            events=pool.events[rows], items=pool.items[rows], converted=pool.converted[rows],
            value_cents=pool.value_cents[rows], intent=pool.intent[rows], reached=reached, satisfaction=level,
            churned=churned, weight=pool.weight[rows], history_weight=self.history_weight[user],
            outcome=pool.outcome[rows],
        )  # fmt: skip
        self.sessions[user] += 1


def step_at(steps: Sequence[tuple[int, float]], instants: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The factor that holds at each instant."""
    if len(steps) == 1:
        return np.full(len(instants), steps[0][1])
    starts = np.array([start for start, _ in steps], dtype=np.int64)
    values = np.array([value for _, value in steps])
    return np.asarray(values[np.maximum(np.searchsorted(starts, instants, side="right") - 1, 0)])
