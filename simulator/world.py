"""The world: what is legal and what events do, as tables. It holds the product's rules for every teacher alike.

A behaviour proposes, the world disposes: `legal` masks the weights of whatever may not happen. Counters are columns of
small integers; a situation number is recomputed from them after each event (see `personas.situations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.pack import Pack
from personas.randomness import F64
from personas.situations import Situations

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
FOCUS, SHOWN, BAG, PAGE = 0, 1, 2, 3
NO_ITEM, ITEM_OF_SLATE, ITEM_IN_FOCUS, ITEM_IN_BAG, ITEM_OF_CATALOG = 0, 1, 2, 3, 4
NO_BAG, BAG_ADD, BAG_REMOVE, BAG_EMPTY = 0, 1, 2, 3
KEEP, DRAW, OF_ITEM = 0, 1, 2


@dataclass(frozen=True)
class World:
    """The rules of a product, one row per event (E), problem (M) or reachable situation (S).

    `legal` [S, E+1] (the last column: leaving); `to` the screen or -1; `change` and `clear` [E, counters];
    `slate`, `problem_emits` -1 for none; `problem_rate` [E, M] declared probabilities; `row_of` maps a situation
    number to its row in `legal`, -1 where it is out of reach.
    """

    pack: Pack
    situations: Situations
    legal: npt.NDArray[np.bool_]
    row_of: I64
    to: I64
    change: I64
    clear: npt.NDArray[np.bool_]
    limit: I64
    item: I64
    bag: I64
    slate: I64
    next_page: npt.NDArray[np.bool_]
    category: I64
    problem_rate: F64
    problem_emits: I64
    problem_legal: npt.NDArray[np.bool_]
    problem_delay: F64
    problem_empties: npt.NDArray[np.bool_]
    problem_ends: npt.NDArray[np.bool_]
    problem_satisfaction: F64
    goal: I64
    conversion: int
    price_cents: I64
    item_category: I64
    launch_day: I64

    def situation(self, screen: I64, counters: npt.NDArray[Any]) -> I64:
        """The row in `legal` for each session, from its screen and its counters [n, counters]."""
        number = screen.copy()
        for column, cuts in enumerate(self.situations.thresholds):
            if cuts:
                number *= len(cuts) + 1
                for cut in cuts:
                    number += counters[:, column] >= cut
        return self.row_of[number]


def build_world(pack: Pack, situations: Situations) -> World:
    """Compile the rules of a pack into tables."""
    product = pack.product
    names, events = list(product.events), list(product.events.values())
    problems = list(product.problems.values())
    screens, slates, counters = list(product.screens), list(product.slates), situations.counters
    rows = sorted(situations.moves)
    legal = np.zeros((len(rows), len(events) + 1), dtype=bool)
    emits_legal = np.ones((len(rows), len(problems)), dtype=bool)
    row_of = np.full(situations.count, -1, dtype=np.int64)
    for row, situation in enumerate(rows):
        row_of[situation] = row
        for column, name in enumerate(names):
            legal[row, column] = situations.legal(situation, name)
        legal[row, -1] = product.screens[screens[situations.split(situation)[0]]].leave > 0
        for column, problem in enumerate(problems):
            emits_legal[row, column] = problem.emits is None or situations.legal(situation, problem.emits)
    change = np.array([[event.effects.get(name, 0) for name in counters] for event in events], dtype=np.int64)
    categories = {name: number for number, name in enumerate(pack.catalog.categories)}
    return World(
        pack=pack,
        situations=situations,
        legal=legal,
        row_of=row_of,
        to=np.array([screens.index(event.to) if event.to else -1 for event in events]),
        change=change,
        clear=np.array([[name in event.clear for name in counters] for event in events]),
        limit=np.array([situations.limit(name) for name in counters]),
        item=np.array([{None: 0, "slate": 1, "focus": 2, "bag": 3, "catalog": 4}[event.item] for event in events]),
        bag=np.array([{None: 0, "add": 1, "remove": 2, "empty": 3}[event.bag] for event in events]),
        slate=np.array([slates.index(event.slate) if event.slate else -1 for event in events]),
        next_page=np.array([event.page == "next" for event in events]),
        category=np.array([{"keep": 0, "draw": 1, "item": 2}[event.category] for event in events]),
        problem_rate=np.array([[p.rate if name in p.at else 0.0 for p in problems] for name in names]).reshape(
            len(names), len(problems)
        ),
        problem_emits=np.array([names.index(p.emits) if p.emits else -1 for p in problems], dtype=np.int64),
        problem_legal=emits_legal,
        problem_delay=np.array([p.delay for p in problems]),
        problem_empties=np.array([p.empties_slate for p in problems], dtype=bool),
        problem_ends=np.array([p.ends_session for p in problems], dtype=bool),
        problem_satisfaction=np.array([p.satisfaction for p in problems]),
        goal=np.array([names.index(i.goal) if i.goal else -1 for i in product.intents.values()]),
        conversion=names.index(product.conversion) if product.conversion else -1,
        price_cents=np.array([round(item.price * 100) for item in pack.catalog.items]),
        item_category=np.array([categories[item.category] for item in pack.catalog.items]),
        launch_day=np.array([item.launch_day for item in pack.catalog.items]),
    )
