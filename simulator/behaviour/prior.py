"""The first teacher: a Behaviour computed from the personas' traits and the product's definition alone.

No data, no model, no network: the embedded default, and what the other teachers are shrunk towards.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from personas.pack import Pack
from personas.population import trait_names
from personas.product import Amount, Product
from personas.randomness import F64
from personas.situations import Situations
from simulator.behaviour.model import F32, Behaviour

CELLS = 256
PRICE_LEVELS = 16
FATIGUE = 2.0


def prior(pack: Pack, situations: Situations) -> Behaviour:
    """The prior behaviour of a pack. Rows of situations follow `sorted(situations.moves)`."""
    product = pack.product
    events = len(product.events)
    reaction = np.ones((len(product.problems) + 1, events + 1), dtype=np.float32)
    for row, problem in enumerate(product.problems.values()):
        for name, factor in problem.reaction.items():
            reaction[row, _column(product, name)] = factor
    after = np.ones((events + 1, events + 1), dtype=np.float32)
    traits = np.zeros((len(trait_names(pack)), events + 1))
    for column, event in enumerate(product.events.values()):
        for name, factor in event.after.items():
            after[_column(product, name), column] = factor
        for name, coefficient in event.traits.items():
            traits[trait_names(pack).index(name), column] = coefficient
    intents = np.array([[persona.intents.get(name, 0.0) for name in product.intents] for persona in pack.personas])
    return Behaviour(
        generator="prior",
        intents=intents,
        next_event=_next_event(pack, situations),
        after=after,
        traits=traits,
        reaction=reaction,
        leave_after_goal=np.array([i.leave_after_goal for i in product.intents.values()], dtype=np.float32),
        fatigue=FATIGUE,
        dwell=np.stack([amount_quantiles(event.dwell) for event in product.events.values()]),
        load=amount_quantiles(product.load),
        taste=product.choice.taste,
        appeal=_appeal(pack),
        seen=product.choice.seen,
        places=np.ones(max((slate.size for slate in product.slates.values()), default=1)),
    )


def _column(product: Product, event: str) -> int:
    return len(product.events) if event == "leave" else list(product.events).index(event)


def _next_event(pack: Pack, situations: Situations) -> F32:
    """Base weights by screen, times what the intent wants. The same for all personas: these differ otherwise."""
    product = pack.product
    rows = sorted(situations.moves)
    base = np.zeros((len(rows), len(product.events) + 1))
    for row, situation in enumerate(rows):
        screen = situations.screens[situations.split(situation)[0]]
        for column, event in enumerate(product.events.values()):
            base[row, column] = event.weight if screen in event.on else 0.0
        base[row, -1] = product.screens[screen].leave
    wants = np.ones((len(product.intents), len(product.events) + 1))
    for line, intent in enumerate(product.intents.values()):
        for name, factor in intent.weights.items():
            wants[line, _column(product, name)] = factor
        wants[line, -1] = intent.leave
    table = (wants[:, None, :] * base[None, :, :]).astype(np.float32)
    return np.broadcast_to(table, (len(pack.personas), *table.shape)).copy()


def amount_quantiles(amount: Amount) -> F64:
    """Quantiles of a log-normal at equally spaced probabilities; the ends stand at 0.2 and 99.8 %."""
    chances = np.clip(np.linspace(0.0, 1.0, CELLS + 1), 0.002, 0.998)
    normal = NormalDist()
    return np.array([amount.median * math.exp(amount.spread * normal.inv_cdf(u)) for u in chances.tolist()])


def dearness(pack: Pack) -> F64:
    """[item]: the logarithm of the price against the median of the category, at most 2 either way."""
    items = pack.catalog.items
    price = np.array([item.price for item in items])
    dear = np.zeros(len(items))
    for category in pack.catalog.categories:
        rows = np.array([row for row, item in enumerate(items) if item.category == category])
        middle = float(np.median(price[rows]))
        if middle > 0:
            dear[rows] = np.clip(np.log(np.maximum(price[rows], 0.01) / middle), -2.0, 2.0)
    return dear


def _appeal(pack: Pack) -> F32:
    """[level, item]: quality, and price against the median of the category for users who mind it. Mean 1 by level."""
    choice, dear = pack.product.choice, dearness(pack)
    quality = np.array([item.quality for item in pack.catalog.items])
    level = np.arange(PRICE_LEVELS) / (PRICE_LEVELS - 1)
    weight = np.exp(choice.quality * (quality - 0.5))[None, :] * np.exp(-choice.price * level[:, None] * dear[None, :])
    mean: F32 = (weight / weight.mean(axis=1, keepdims=True)).astype(np.float32)
    return mean
