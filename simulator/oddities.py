"""What in a valid pack looks like a mistake all the same, judged by what is expected to happen when it is played.

Checks that need no playing and are errors are in `personas.checks`; what is found here are warnings for people.
"""

from __future__ import annotations

import numpy as np

from personas.pack import Pack
from personas.population import UNNAMED_TASTE
from personas.randomness import F64
from simulator.expectation import Expectation

#: Events at one stay on a screen, and events in a session, from which on it is long.
LONG_STAY, LONG_SESSION = 15.0, 100.0
#: The share of sessions below which a goal is rare, and of attempts above which a problem is frequent.
RARE_GOAL, FREQUENT_PROBLEM = 0.001, 0.3
#: Expected counts below this are no more than rounding.
NEVER = 1e-9


def find_oddities(pack: Pack, each: Expectation) -> list[str]:
    """What in a pack looks like a mistake, judged by what is expected to happen."""
    product, found = pack.product, []
    names = list(product.events)
    mean = np.einsum("pg,pgk->k", each.intents * _shares(pack)[:, None], each.events)
    for row, persona in enumerate(pack.personas):
        for column, intent in enumerate(product.intents):
            length = float(each.events[row, column].sum())
            if each.intents[row, column] > 0 and length > LONG_SESSION:
                found.append(f"sessions of {persona.name} with the intent {intent} hold {length:.0f} events on average")
    for number, name in enumerate(names):
        if mean[number] <= NEVER:
            found.append(f"the event {name} is not expected to happen at all")
    for column, (name, spec) in enumerate(product.intents.items()):
        who = each.intents[:, column] * _shares(pack)
        if who.sum() <= 0:
            found.append(f"no persona has the intent {name}")
        elif spec.goal:
            reached = float((who * each.reached[:, column]).sum() / who.sum())
            if reached <= NEVER:
                found.append(f"the goal of the intent {name}, {spec.goal}, cannot be reached")
            elif reached < RARE_GOAL:
                found.append(f"only {reached:.3%} of the sessions with the intent {name} reach its goal, {spec.goal}")
    found += _stays(pack, each)
    for name, problem in product.problems.items():
        if problem.rate > FREQUENT_PROBLEM:
            found.append(f"the problem {name} strikes {problem.rate:.0%} of the attempts of {', '.join(problem.at)}")
    for category in pack.catalog.categories:
        tastes = [p.tastes.get(category, UNNAMED_TASTE if p.tastes else 1.0) for p in pack.personas]
        if max(tastes) <= UNNAMED_TASTE:
            found.append(f"nobody has a taste for the category {category} of the catalogue")
    return found


def _stays(pack: Pack, each: Expectation) -> list[str]:
    """Screens where a stay is long: more events than `LONG_STAY` each time a user comes there."""
    found = []
    weight = each.intents * _shares(pack)[:, None]
    entered, spent = (np.einsum("pg,pgk->k", weight, table) for table in (each.entered, each.spent))
    for number, name in enumerate(pack.product.screens):
        if entered[number] > NEVER and (stay := float(spent[number] / entered[number])) > LONG_STAY:
            found.append(f"nobody leaves the screen {name} easily: {stay:.0f} events are expected at each stay")
    return found


def _shares(pack: Pack) -> F64:
    return np.array([persona.share for persona in pack.personas])
