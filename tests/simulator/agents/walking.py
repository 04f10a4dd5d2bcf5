"""Engines whose users are walked by a language model, for tests: the model is a fake, the world is the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from simulator.agents.asking import Asker
from simulator.agents.language import LanguageModel
from simulator.agents.walker import Walker
from simulator.arrivals import Arrivals
from simulator.choice import BehaviourChooser
from simulator.engine import Engine
from simulator.part import Part
from simulator.simulation import Simulation
from tests.runs import simulation_of


@dataclass(frozen=True)
class Walk:
    """An engine, its walker, and the simulation whose population and encoder they share."""

    engine: Engine
    walker: Walker
    simulation: Simulation


@contextmanager
def walking(name: str, model: LanguageModel, *, users: int = 40, seed: int = 7, **more: Any) -> Iterator[Walk]:
    """All users of a small run as agents."""
    simulation = simulation_of(name, users=users, seed=seed)
    one = simulation.engine
    with asyncio.Runner() as runner:
        fallback = BehaviourChooser(one.population, one.world, one.behaviour)
        asker = Asker(model)
        walker = Walker(one.population, one.world, fallback, asker, "fake", runner=runner, **more)
        arrivals = Arrivals(simulation.pack, simulation.identity.start)
        engine = Engine(one.population, one.world, one.behaviour, one.effects.rankings, arrivals, walker)
        simulation.parts = (Part(engine, simulation.encoder),)
        yield Walk(engine, walker, simulation)
