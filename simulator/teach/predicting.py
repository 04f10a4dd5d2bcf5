"""What a Behaviour says of decisions that were taken: the chance of each move, row by row of the traces.

The same weights as the engine's chooser draws by, for decisions that are over and whose sessions are not in any pool.
"""

from __future__ import annotations

import numpy as np

from personas.randomness import F64
from simulator.behaviour.model import Behaviour
from simulator.behaviour.traces import Choices, Traces, legal_moves, tiredness
from simulator.slates import Rankings
from simulator.world import BAG_ADD, World


def next_event_chances(traces: Traces, behaviour: Behaviour, world: World) -> F64:
    """[N, E+1]: the chance of each event, and of leaving (last), at each decision."""
    weight = behaviour.next_event[traces.persona, traces.intent, traces.situation].astype(np.float64)
    weight *= legal_moves(traces, world.legal) * behaviour.after[traces.last]
    troubled = np.flatnonzero(traces.problem >= 0)
    weight[troubled] *= behaviour.reaction[traces.problem[troubled]]
    weight *= np.exp(np.einsum("nt,te->ne", 2.0 * traces.traits.astype(np.float64) - 1.0, behaviour.traits))
    appeal = np.where(traces.focus >= 0, behaviour.appeal[traces.level, np.maximum(traces.focus, 0)], 1.0)
    weight *= np.where(np.append(world.bag == BAG_ADD, False), appeal[:, None], 1.0)
    goal = np.where(traces.reached, behaviour.leave_after_goal[traces.intent], 1.0)
    weight[:, -1] *= np.exp(behaviour.fatigue * tiredness(traces)) * goal
    total = weight.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(weight, total, out=np.zeros_like(weight), where=total > 0))


def pick_chances(choices: Choices, behaviour: Behaviour, rankings: Rankings) -> F64:
    """[K, W]: the chance of each item shown."""
    item = np.maximum(choices.shown, 0)
    weight = choices.taste.astype(np.float64) ** behaviour.taste * behaviour.appeal[choices.level[:, None], item]
    looked_at = rankings.examination * behaviour.places
    weight *= looked_at[choices.slate] * np.where(choices.known, behaviour.seen, 1.0) * (choices.shown >= 0)
    return np.asarray(weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300))


def total_variation(one: F64, other: F64) -> float:
    """The mean over rows of half the sum of absolute differences."""
    return float(0.5 * np.abs(one - other).sum(axis=1).mean()) if len(one) else 0.0
