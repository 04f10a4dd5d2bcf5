"""Playing plans: a chooser that interprets plans as factors on the Behaviour's weights, without asking anybody.

At the beginning of a visit a plan of its kind is drawn with the plan's own probability. From then on the plan bends
what the Behaviour would do: the next step of its path becomes likely, what is not in it less so, its end and its rules
make leaving likely. What is illegal keeps the weight 0, so a plan can be as wrong as it likes. Two ways were weighed:
doing exactly what the path says wherever that is legal (many paths of a small model lead nowhere), or factors: where
the path cannot be walked, the Behaviour finds the way. Kinds of visits without plans are played by it alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from personas.population import Population
from personas.randomness import F64, U64, fold, uniform
from simulator.agents.asking import AgentCounts
from simulator.agents.plan import LONGEST_PATH, Plan
from simulator.agents.planner import CIRCUMSTANCES, Kind
from simulator.agents.screen import LEAVE, wants_words
from simulator.behaviour.model import F32
from simulator.choice import LEFT, OUTCOMES, PROBLEM, STEP_BOUND, BehaviourChooser, Choices, draw_event
from simulator.pool import Pool
from simulator.world import DRAW, I64, ITEM_OF_SLATE, World

#: Purposes of random numbers (others: see `engine`).
PICK_PLAN, PLAN_DWELL = 21, 22
#: Factors on weights: the next step of the path, other steps still to come, what is not in the path, the end.
NEXT, LATER, OTHER, END, CALM, AGAIN_LATER = 40.0, 2.0, 0.4, 40.0, 0.3, 0.1
#: How long the mood stays with things, against the Behaviour.
_PICKS = ("first", "cheapest", "best_rated", "any")
STAYS = {"hurried": 0.5, "calm": 1.2, "curious": 1.4, "annoyed": 0.7, "cheerful": 1.0}


class Deck:
    """All plans as arrays, one row each, and the rows of each kind of visit."""

    def __init__(self, world: World, plans: Mapping[Kind, Sequence[Plan]]) -> None:
        product, every = world.pack.product, [plan for known in plans.values() for plan in known]
        names = {name: number for number, name in enumerate([*product.events, LEAVE])}
        categories = {name: number for number, name in enumerate(world.pack.catalog.categories)}
        size, count = len(names), len(every)
        self.path = np.full((count + 1, LONGEST_PATH + 1), -1, dtype=np.int64)
        self.inside = np.full((count + 1, size), OTHER, dtype=np.float32)
        self.categories = np.full((count + 1, 3), -1, dtype=np.int64)
        for row, plan in enumerate(every):
            steps = [names[name] for name in plan.path if name in names]
            self.path[row, : len(steps)] = steps
            self.inside[row, steps] = LATER
            found = [categories[name] for name in plan.categories if name in categories][:3]
            self.categories[row] = [found[place % len(found)] for place in range(3)] if found else [-1] * 3
        self.length = (self.path >= 0).sum(axis=1)
        self.inside[:, -1] = 1.0
        self.steps = np.array([plan.steps for plan in every] + [0])
        self.limit = np.array([plan.price_limit or np.inf for plan in every] + [np.inf])
        self.picks = np.array([plan.picks for plan in every] + ["any"])
        self.once_done = np.array([plan.leaves_once_done for plan in every] + [False])
        self.on_problem = np.array([plan.on_problem for plan in every] + ["retry"])
        self.stays = np.array([STAYS[plan.mood] for plan in every] + [1.0])
        self.queries = [plan.queries for plan in every]
        self.kinds: dict[Kind, tuple[int, F64]] = {}
        first = 0
        for kind, known in plans.items():
            if known:
                chances = np.array([max(plan.probability, 1e-3) for plan in known])
                self.kinds[kind] = first, np.cumsum(chances) / chances.sum()
            first += len(known)


class PlanChooser:
    """Plays a population by plans. `deal` hands it the plans, before the first choice."""

    def __init__(self, population: Population, world: World, fallback: BehaviourChooser, counts: AgentCounts) -> None:
        self.population, self.world, self.fallback, self.counts = population, world, fallback, counts
        self.deck = Deck(world, {})
        self._plan = np.full(len(population), -1, dtype=np.int64)
        self._place = np.zeros(len(population), dtype=np.int64)
        self._visits = np.zeros(len(population), dtype=np.int64)
        self._written = np.zeros(len(population), dtype=np.int64)
        specs = world.pack.product.events.values()
        self._writes = np.array([any(map(wants_words, spec.properties.values())) for spec in specs] + [False])
        items = world.pack.catalog.items
        self._price = np.array([item.price for item in items])
        self._quality = np.array([item.quality for item in items])

    def deal(self, plans: Mapping[Kind, Sequence[Plan]]) -> None:
        """Take the plans."""
        self.deck = Deck(self.world, plans)

    def begin(self, pool: Pool, rows: I64) -> None:
        """Each visit gets a plan of its kind, by a number of its own."""
        chance = uniform(fold(pool.key[rows], PICK_PLAN))
        last = len(CIRCUMSTANCES) - 1
        for row, drawn in zip(rows.tolist(), chance.tolist(), strict=True):
            user = int(pool.user[row])
            persona, before = int(self.population.persona[user]), min(int(self._visits[user]), last)
            first, shares = self.deck.kinds.get(Kind(persona, int(pool.intent[row]), before), (-1, None))
            self._plan[user] = -1 if shares is None else first + int(np.searchsorted(shares, drawn, side="right"))
            self._place[user] = self._written[user] = 0

    def finish(self, pool: Pool, rows: I64) -> None:
        """How the visit ended; 0 where there was no plan for it."""
        user = pool.user[rows]
        planned = self._plan[user] >= 0
        problem = pool.problem[rows]
        broken = (problem >= 0) & np.append(self.world.problem_ends, False)[problem]
        ended = np.where(pool.outcome[rows] > 0, pool.outcome[rows], np.where(broken, PROBLEM, STEP_BOUND))
        pool.outcome[rows] = np.where(planned, ended, 0)
        self._visits[user] += 1
        for outcome in pool.outcome[rows].tolist():
            self.counts.outcomes[OUTCOMES[outcome]] += 1

    def choose(self, pool: Pool, situation: I64, key: U64) -> Choices:
        """The Behaviour's weights, bent by each visit's plan."""
        user, plan = pool.user, self._plan[pool.user]
        self._advance(pool, user, plan)
        weight = self.fallback.weights(pool, situation)
        planned = np.flatnonzero(plan >= 0)
        if len(planned):
            weight[planned] *= self._factors(pool.view(planned), plan[planned])
        choices = Choices.blank(len(pool))
        choices.event = draw_event(weight, key)
        self.counts.decisions += len(planned)
        self._elaborate(pool, plan, key, choices)
        leave = weight.shape[1] - 1
        choices.outcome = np.where((choices.event == leave) & (plan >= 0) & ~pool.over, LEFT, 0)
        return choices

    def _advance(self, pool: Pool, user: I64, plan: I64) -> None:
        """Who has done the next step of the path goes on to the one after; a step done early passes over what was
        before it."""
        place = self._place[user]
        for ahead in range(3):
            wanted = self.deck.path[plan, np.minimum(place + ahead, LONGEST_PATH)]
            done = (self._place[user] == place) & (wanted == pool.last) & (pool.events > 0) & (wanted >= 0)
            self._place[user] = np.where(done, place + ahead + 1, self._place[user])

    def _factors(self, pool: Pool, plan: I64) -> F32:
        deck, rows = self.deck, np.arange(len(pool))
        place = np.minimum(self._place[pool.user], LONGEST_PATH)
        factor: F32 = deck.inside[plan].copy()
        wanted = deck.path[plan, place]
        on_the_way = wanted >= 0
        factor[rows[on_the_way], wanted[on_the_way]] = NEXT
        end = (place >= deck.length[plan]) | (pool.events >= deck.steps[plan])
        end |= deck.once_done[plan] & pool.reached
        factor[end, -1] = END
        troubled = pool.problem >= 0
        reaction = deck.on_problem[plan]
        factor[troubled & np.equal(reaction, "leave"), -1] = END
        factor[troubled & np.equal(reaction, "retry"), -1] *= CALM
        elsewhere = troubled & np.equal(reaction, "look_elsewhere") & on_the_way
        factor[rows[elsewhere], wanted[elsewhere]] = AGAIN_LATER
        return factor

    def _elaborate(self, pool: Pool, plan: I64, key: U64, choices: Choices) -> None:
        """What plans say beside the event: item, category, stay and words."""
        assert choices.place is not None and choices.category is not None and choices.dwell_ms is not None
        event, leave = choices.event, self.world.legal.shape[1] - 1
        acting = (plan >= 0) & (event < leave)
        act = np.where(acting, event, 0)
        rows = np.flatnonzero(acting & (self.world.item[act] == ITEM_OF_SLATE))
        if len(rows):
            choices.place[rows] = self._pick(pool.shown[rows], plan[rows])
        rows = np.flatnonzero(acting & (self.world.category[act] == DRAW))
        choices.category[rows] = self.deck.categories[plan[rows], pool.events[rows] % 3]
        rows = np.flatnonzero(acting)
        dwell = self.fallback.behaviour.dwell
        cell = (uniform(fold(key[rows], PLAN_DWELL)) * (dwell.shape[1] - 1)).astype(np.int64)
        choices.dwell_ms[rows] = (dwell[act[rows], cell] * self.deck.stays[plan[rows]] * 1000).astype(np.int64)
        for row in np.flatnonzero(acting & self._writes[act]).tolist():
            user, queries = int(pool.user[row]), self.deck.queries[int(plan[row])]
            if queries and choices.words is not None:
                choices.words[row] = queries[int(self._written[user]) % len(queries)]
                self._written[user] += 1

    def _pick(self, shown: npt.NDArray[np.int32], plan: I64) -> I64:
        """The place on the slate that each plan's rule picks; -1 leaves it to taste. A limit that nothing keeps does
        not count."""
        there, item = shown >= 0, np.maximum(shown, 0)
        cheap = there & (self._price[item] <= self.deck.limit[plan][:, None])
        allowed = np.where(np.any(cheap, axis=1, keepdims=True), cheap, there)
        rules = [_PICKS.index(word) for word in self.deck.picks[plan].tolist()]
        places = np.broadcast_to(-np.arange(shown.shape[1], dtype=np.float64), shown.shape)
        scores = np.stack([places, -self._price[item], self._quality[item], places])[rules, np.arange(len(shown))]
        best = np.argmax(np.where(allowed, scores, -np.inf), axis=1)
        return np.where(np.array(rules) == _PICKS.index("any"), -1, best)
