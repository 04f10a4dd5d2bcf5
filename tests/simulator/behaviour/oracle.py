"""Known truths to be recovered: behaviours that differ from the prior in ways of which the fit is told nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.population import DAY_MS
from personas.randomness import F64
from simulator.behaviour.model import Behaviour
from simulator.behaviour.traces import Choices, Traces, legal_moves, tiredness
from simulator.choice import BehaviourChooser
from simulator.engine import Engine
from simulator.slates import Rankings
from simulator.teach.oracle import oracle_of
from simulator.teach.recorder import Recorder
from simulator.world import BAG_ADD, World
from tests.runs import simulation_of

#: Standard deviations of what is added to the logarithms of the prior's weights, by what it depends on.
TRUTHS: dict[str, dict[str, float]] = {
    "the prior itself": {},
    "each persona its own": {"persona": 0.6},
    "personas, intents, situations, after-effects, reactions, traits": {
        "persona": 0.5, "intent": 0.4, "situation": 0.3, "after": 0.4, "reaction": 0.4, "traits": 0.4, "items": 0.4,
    },
    "each persona differs in each situation": {"persona situation": 0.4},
    "each intent differs in each situation": {"intent situation": 0.5},
    "nothing in common: every cell its own": {"cell": 0.5},
    "everything at once": {
        "persona": 0.4, "intent": 0.3, "situation": 0.3, "persona situation": 0.2, "intent situation": 0.2,
        "cell": 0.1, "after": 0.3, "reaction": 0.3, "traits": 0.3,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """A prior, a truth, sessions played by the truth, others to be judged by, and what they refer to."""

    prior: Behaviour
    truth: Behaviour
    traces: Traces
    held_out: Traces
    world: World
    rankings: Rankings


@lru_cache
def lesson(pack: str, truth: str, sessions: int = 2000, held_out: int = 1000) -> Lesson:
    prior = simulation_of(pack, users=1).behaviour
    played = oracle_of(prior, TRUTHS[truth])
    traces, engine = sessions_of(pack, played, sessions, seed=11)
    others, _ = sessions_of(pack, played, held_out, seed=12)
    return Lesson(prior, played, traces, others, engine.world, engine.effects.rankings)


def sessions_of(pack: str, behaviour: Behaviour, users: int, seed: int) -> tuple[Traces, Engine]:
    """One session of each user, decided by a behaviour."""
    simulation = simulation_of(pack, users=users, seed=seed)
    plain = simulation.engine
    engine = Engine(plain.population, plain.world, behaviour, plain.effects.rankings, plain.arrivals)
    assert isinstance(engine.chooser, BehaviourChooser)
    recorder = Recorder(engine)
    engine.next_start[:] = 10 * DAY_MS
    return recorder.take(engine.play(10 * DAY_MS + 1)), engine


def next_event_chances(traces: Traces, behaviour: Behaviour, world: World) -> F64:
    """[N, E+1]: what a behaviour would do at each decision. Written from the definition, without the engine's code."""
    weight = behaviour.next_event[traces.persona, traces.intent, traces.situation].astype(np.float64)
    weight *= legal_moves(traces, world.legal) * behaviour.after[traces.last] * behaviour.reaction[traces.problem]
    weight *= np.exp((2.0 * traces.traits - 1.0) @ behaviour.traits)
    appeal = np.where(traces.focus >= 0, behaviour.appeal[traces.level, np.maximum(traces.focus, 0)], 1.0)
    weight *= np.where(np.append(world.bag == BAG_ADD, False), appeal[:, None], 1.0)
    goal = np.where(traces.reached, behaviour.leave_after_goal[traces.intent], 1.0)
    weight[:, -1] *= np.exp(behaviour.fatigue * tiredness(traces)) * goal
    return weight / weight.sum(axis=1, keepdims=True)


def pick_chances(choices: Choices, behaviour: Behaviour, rankings: Rankings) -> F64:
    """[K, W]: the chance of each item shown."""
    item = np.maximum(choices.shown, 0)
    weight = choices.taste.astype(np.float64) ** behaviour.taste * behaviour.appeal[choices.level[:, None], item]
    weight *= rankings.examination[choices.slate] * np.where(choices.known, behaviour.seen, 1.0) * (choices.shown >= 0)
    weight *= behaviour.places
    return weight / weight.sum(axis=1, keepdims=True)


def total_variation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """The mean over rows of half the sum of absolute differences."""
    return float(0.5 * np.abs(one - other).sum(axis=1).mean())


def dwell_distance(truth: Behaviour, other: Behaviour, events: npt.NDArray[Any]) -> float:
    """The mean over the given events of the greatest distance of the distribution functions (Kolmogorov-Smirnov)."""
    chances = np.linspace(0.0, 1.0, truth.dwell.shape[1])
    found = [np.abs(np.interp(truth.dwell[e], other.dwell[e], chances) - chances).max() for e in events.tolist()]
    return float(np.mean(found))
