"""Single visits, chosen one by one: which user comes for what, in calm or in trouble, and what a teacher makes of it.

The visits are played by the engine in the same world as any run, one first visit of each user, all begun at one of two
instants: at the first with problems as declared, at the second with many. A user is asked for once only. Who is next is
fixed by the seed: users come in the order of a race in which those who visit more often are faster, so that the first n
of them are like n visits of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from personas.pack import Pack
from personas.population import DAY_MS, Population, sample_population
from personas.provenance import RunIdentity
from personas.randomness import U64, exponential, fold, root_key
from personas.situations import Situations
from simulator.arrivals import Arrivals
from simulator.behaviour.model import Behaviour
from simulator.behaviour.prior import prior
from simulator.behaviour.traces import Traces
from simulator.choice import BehaviourChooser, Chooser
from simulator.choice import Choices as Chosen
from simulator.engine import Engine
from simulator.pool import Pool
from simulator.slates import Rankings, build_rankings
from simulator.teach.recorder import Recorder
from simulator.world import I64, World, build_world

#: When visits happen (milliseconds): by then most of a catalogue is launched.
CALM, TROUBLED = 30 * DAY_MS, 30 * DAY_MS + 1
#: How many times as often problems strike in trouble.
TROUBLE = 10.0
START = datetime(2026, 1, 1, tzinfo=UTC)


class Decider(Protocol):
    """Who decides in the visits: an agent, an oracle, the student itself. `behaviour` draws what it leaves open."""

    @property
    def behaviour(self) -> Behaviour: ...

    def chooser(self, population: Population, world: World) -> Chooser:
        """Chooses for these users."""
        ...


@dataclass(frozen=True)
class Tables:
    """Decides as a Behaviour does."""

    behaviour: Behaviour

    def chooser(self, population: Population, world: World) -> Chooser:
        """Draws from the tables."""
        return BehaviourChooser(population, world, self.behaviour)


@dataclass(frozen=True)
class Room:
    """Where visits are played: the pack's world, its users (`order`: in which they come) and the prior."""

    pack: Pack
    world: World
    rankings: Rankings
    arrivals: Arrivals
    population: Population
    order: I64
    prior: Behaviour


def room_of(pack: Pack, seed: int, users: int) -> Room:
    """The room of a pack, with so many users to choose from."""
    situations = Situations(pack.product)
    identity = RunIdentity(
        product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint, seed=seed,
        users=users, start=START, generator="tutor",
    )  # fmt: skip
    population = sample_population(pack, identity)
    arrival = exponential(fold(root_key("visits", seed), population.number)) / population.sessions_per_week
    return Room(
        pack=pack,
        world=build_world(pack, situations),
        rankings=build_rankings(pack),
        arrivals=Arrivals(pack, START),
        population=population,
        order=np.argsort(arrival, kind="stable"),
        prior=prior(pack, situations),
    )


@dataclass(frozen=True)
class Visits:
    """One visit per row: the user's row in the population (no user twice), the intent (-1: as the persona's shares have
    it), and whether problems abound."""

    user: I64
    intent: I64
    troubled: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.user)

    @staticmethod
    def join(parts: list[Visits]) -> Visits:
        """All visits."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Visits.__annotations__}
        return Visits(**columns)


def next_users(room: Room, used: npt.NDArray[np.bool_], count: int, persona: int | None = None) -> I64:
    """The next users (of a persona) that were not used yet; fewer where there are no more."""
    waiting = room.order[~used[room.order]]
    if persona is not None:
        waiting = waiting[room.population.persona[waiting] == persona]
    return waiting[:count]


def visit(room: Room, visits: Visits, decider: Decider, *, agents_only: bool = False) -> tuple[Traces, I64]:
    """Play the visits: what was decided, and the user (a row of the room's population) of each session. Sessions are in
    the order of users. With `agents_only`, only visits that agents walked to the end are told."""
    order = np.argsort(visits.user)
    population = room.population.only(visits.user[order])
    chooser = _Assigned(visits.intent[order], decider.chooser(population, room.world))
    engine = Engine(population, room.world, decider.behaviour, room.rankings, room.arrivals, chooser)
    engine.next_start[:] = np.where(visits.troubled[order], TROUBLED, CALM)
    engine.problems.multipliers = [(0, 1.0), (TROUBLED, TROUBLE)]
    recorder = Recorder(engine, agents_only=agents_only)
    traces = recorder.take(engine.play(TROUBLED + 1))
    return traces, visits.user[order][recorder.users]


class _Assigned:
    """Gives users the intents that were chosen for them, and leaves the rest to another chooser."""

    def __init__(self, intent: I64, inner: Chooser) -> None:
        self.intent, self.inner = intent, inner

    def begin(self, pool: Pool, rows: I64) -> None:
        """Sets the intents."""
        wanted = self.intent[pool.user[rows]]
        pool.intent[rows] = np.where(wanted >= 0, wanted, pool.intent[rows])
        self.inner.begin(pool, rows)

    def choose(self, pool: Pool, situation: I64, key: U64) -> Chosen:
        """As the inner chooser does."""
        return self.inner.choose(pool, situation, key)

    def finish(self, pool: Pool, rows: I64) -> None:
        """As the inner chooser does."""
        self.inner.finish(pool, rows)
