"""An oracle: a tutor whose truth is known, to see how well teaching works before it costs anything.

Its users behave as a Behaviour that differs from the prior in ways of which the fit is told nothing: by persona, intent
and situation, after events and problems, by traits, in times and in the choice of items. It stands where an agent
would; a decision of its own counts as if it had cost DOLLARS_PER_DECISION, so that a budget means something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from personas.randomness import F64, fold, root_key, standard_normal
from simulator.behaviour.model import Behaviour

#: About what a decision of a small language model costs.
DOLLARS_PER_DECISION = 0.0005
#: Standard deviations of what is added to the logarithms of the prior's weights, by what it depends on.
SPREAD = {"persona": 0.5, "intent": 0.4, "situation": 0.3, "after": 0.4, "reaction": 0.4, "traits": 0.4, "items": 0.4}


def oracle_of(prior: Behaviour, spread: Mapping[str, float] | None = None, *, seed: int = 0) -> Behaviour:
    """A behaviour away from the prior, the same for the same seed. Besides the names in SPREAD, `spread` may hold
    `persona situation`, `intent situation`, `cell` (each persona, intent and situation by itself) and `places` (from
    each position of a slate to the next). Where it differs
    at all, it differs in times too."""
    spread = SPREAD if spread is None else spread
    personas, intents, situations, moves = prior.next_event.shape
    shapes = {
        "persona": (personas, 1, 1, moves),
        "intent": (1, intents, 1, moves),
        "situation": (1, 1, situations, moves),
        "persona situation": (personas, 1, situations, moves),
        "intent situation": (1, intents, situations, moves),
        "cell": (personas, intents, situations, moves),
    }

    def noise(name: str, *shape: int) -> F64:
        count = int(np.prod(shape))
        drawn = standard_normal(fold(root_key("oracle", seed, name), np.arange(count))).reshape(shape)
        return np.asarray(spread.get(name, 0.0) * drawn)

    total = sum((noise(name, *shape) for name, shape in shapes.items()), np.zeros((1, 1, 1, 1)))
    reaction = np.exp(noise("reaction", *prior.reaction.shape))
    reaction[-1] = 1.0  # the row of no problem
    places = noise("places", len(prior.places))
    places[0] = 0.0
    slower = 0.5 * standard_normal(fold(root_key("oracle", seed, "dwell"), np.arange(len(prior.dwell))))
    return replace(
        prior,
        generator="oracle",
        next_event=(prior.next_event * np.exp(total)).astype(np.float32),
        after=(prior.after * np.exp(noise("after", *prior.after.shape))).astype(np.float32),
        reaction=(prior.reaction * reaction).astype(np.float32),
        traits=prior.traits + noise("traits", *prior.traits.shape),
        dwell=prior.dwell * np.exp(slower if spread else 0.0 * slower)[:, None],
        taste=prior.taste * (1.6 if spread else 1.0),
        seen=prior.seen * (0.4 if spread else 1.0),
        places=prior.places * np.exp(np.cumsum(places)),
        appeal=(prior.appeal * np.exp(noise("items", 1, prior.appeal.shape[1]))).astype(np.float32),
    )
