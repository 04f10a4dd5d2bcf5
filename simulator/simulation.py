"""One run (or one shard of it), from a pack to messages: population, engine, encoder and order, put together.

`advance(until)` plays up to an instant and sends what is due. It knows nothing of wall clocks, signals or metrics
servers: the daemon does. Times are milliseconds after the start of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from personas.pack import Pack
from personas.population import Population, sample_population
from personas.provenance import RunIdentity
from personas.situations import Situations
from personas.topics import conversations_topic, events_topic, labels_topic, sessions_topic, users_topic
from simulator.arrivals import Arrivals
from simulator.behaviour.model import Behaviour
from simulator.behaviour.prior import prior
from simulator.choice import BehaviourChooser, Chooser
from simulator.encode import Encoder, Messages, ending_from
from simulator.engine import Engine
from simulator.part import Part, are_tutored
from simulator.partitioner import Shard, partition_of
from simulator.producer import MessageProducer
from simulator.sequence import Position, Sequence
from simulator.slates import build_rankings
from simulator.support.conversations import Conversations
from simulator.support.speaking import Speaker
from simulator.views import pick, viewed
from simulator.world import I64, World, build_world

if TYPE_CHECKING:
    from simulator.twins.playing import Twins

Held = dict[str, dict[int, Position]]
#: Makes the chooser of the users that agents play, from their population and who stands in for the agents.
Agents = Callable[[Population, World, BehaviourChooser], Chooser]
#: Makes who speaks in the conversations of the same users; None where the product has no support.
MakeSpeaker = Callable[[Population, World], Speaker | None]


#: An agent's event takes as long as about so many that are drawn from tables, or more.
EFFORT_OF_AGENTS = 50


@dataclass
class Progress:
    """What has been sent so far, without what the topics held before. `events` by type, `problems` by name."""

    events: dict[str, int] = field(default_factory=dict)
    problems: dict[str, int] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)

    @property
    def total_events(self) -> int:
        return sum(self.events.values())


class Simulation:
    """A seeded run over topics with a given number of partitions. `behaviour` plays the users (the prior where none is
    given), `agents` those whom the run's identity leaves to a tutor, and `speaker` speaks for them when they write to
    support; `twins` play all of them."""

    def __init__(
        self, pack: Pack, identity: RunIdentity, shard: Shard, producer: MessageProducer, chunk: int = 50_000,
        *, behaviour: Behaviour | None = None, agents: Agents | None = None, twins: Twins | None = None,
        speaker: MakeSpeaker | None = None,
    ) -> None:  # fmt: skip
        self.pack, self.identity, self.shard, self.producer, self.chunk = pack, identity, shard, producer, chunk
        situations = Situations(pack.product)
        population = sample_population(pack, identity, shard.keeps)
        rankings = build_rankings(pack)
        world = build_world(pack, situations)
        self.behaviour = behaviour or prior(pack, situations)
        #: Plays in place of the engine, in a run of twins. Nobody knows the truth about those: there are no labels.
        self.twins = twins.engine(population, world, self.behaviour, rankings, identity) if twins else None
        population = self.twins.population if self.twins else population
        self.population = population
        arrivals = Arrivals(pack, identity.start)

        def part(rows: I64 | None, agents: Agents | None) -> Part:
            mine = population if rows is None else population.only(rows)
            chooser = None if agents is None else agents(mine, world, BehaviourChooser(mine, world, self.behaviour))
            engine = Engine(mine, world, self.behaviour, rankings, arrivals, chooser)
            engine.problems.multipliers = [(0, identity.problem_rate)]
            speaks = speaker(mine, world) if speaker is not None and agents is not None else None
            support = Conversations(pack, pack.help, identity, mine, speaks) if pack.help else None
            return Part(engine, Encoder(pack, identity, mine, rankings, "tutor" if agents else None), rows, support)

        if identity.tutor is None:
            self.parts: tuple[Part, ...] = (part(None, None),)
        else:
            assert agents is not None, "a run with a tutor needs agents"
            tutored = are_tutored(population, identity.seed, identity.tutor.share)
            self.parts = (part(np.flatnonzero(~tutored), None), part(np.flatnonzero(tutored), agents))
        #: The part that is played from tables.
        self.engine, self.encoder = self.parts[0].engine, self.parts[0].encoder
        self.progress = Progress()
        self.played_until = 0
        self.played_events = 0
        #: The same, with events of agents counted as what they cost in time.
        self.played_effort = 0
        self._keys = viewed(population.ids.tolist())
        self._partition = partition_of(population.ids, shard.partitions)
        self._names = list(pack.product.events)
        self._problem_names = list(pack.product.problems)
        self.resume({})

    def resume(self, held: Held) -> None:
        """Before the first `advance`: skip what the topics hold already, per topic and partition."""
        product = self.identity.product
        #: The latest instant of which the topics already held something, -1 when they held nothing.
        self.held_until = max((position[0] for each in held.values() for position in each.values()), default=-1)
        topics = (events_topic, sessions_topic, users_topic, labels_topic, conversations_topic)
        self.events, self.sessions, self.users, self.labels, self.conversations = (
            Sequence(topic(product), self._partition, held.get(topic(product))) for topic in topics
        )

    @property
    def complete_until(self) -> int:
        """Before this instant the topics held everything, when this began: it is played, and not even encoded."""
        counted = (self.events, self.sessions) if self.twins else (self.events, self.sessions, self.labels)
        return min(sequence.complete_until for sequence in counted)

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """The messages of the data topics, in the order in which they are sent."""
        return self.users, self.events, self.sessions, self.labels, self.conversations

    def advance(self, until: int) -> int:
        """Play and send everything before `until`; the number of events sent. The instants of successive calls rise."""
        if until <= self.played_until:
            return 0
        signed_up = self.population.signed_up
        new = np.flatnonzero((signed_up >= self.played_until) & (signed_up < until))
        for part in self.parts:
            self._play(part, until, part.of(new))
        self.played_until = until
        sent = 0
        for sequence in self.sequences:
            due = sequence.due(until)
            self._send(sequence, due)
            if sequence is self.events:
                sent = len(due)
                self._count(due)
        return sent

    def _play(self, part: Part, until: int, new: I64) -> None:
        """Play one part up to an instant; its messages wait for their time. `new`: the rows of it that sign up."""
        played, encoder = (self.twins or part.engine).play(until), part.encoder
        self.played_events += len(played.events["time"])
        self.played_effort += len(played.events["time"]) * (EFFORT_OF_AGENTS if encoder is not self.encoder else 1)
        if part.support is not None:  # few, and perhaps none for long: so they are not in `complete_until`
            self.conversations.add(part.named(part.support.messages(played, self.conversations.complete_until)))
        if self.played_until < self.complete_until:
            played = ending_from(played, self.complete_until)
        latest = int(played.events["time"].max()) if len(played.events["time"]) else self.played_until
        if latest >= self.events.complete_until:
            self.events.add(part.named(encoder.events(played)))
        if latest >= self.sessions.complete_until:
            self.sessions.add(part.named(encoder.sessions(played)))
        if self.twins is None and latest >= self.labels.complete_until:
            self.labels.add(part.named(encoder.session_labels(played)))
            self.labels.add(part.named(encoder.user_labels(new)))
        self.users.add(part.named(encoder.users(new)))

    def change_problem_rate(self, factor: float) -> None:
        """From `played_until` on, sessions meet problems `factor` times as often as declared."""
        for part in self.parts:
            part.engine.problems.multipliers.append((self.played_until, factor))

    def change_arrival_rate(self, factor: float) -> None:
        """From `played_until` on, users come back `factor` times as often as declared."""
        for part in self.parts:
            part.engine.change_arrival_rate(self.played_until, factor)

    def _send(self, sequence: Sequence, messages: Messages) -> None:
        self.progress.messages[sequence.topic] = self.progress.messages.get(sequence.topic, 0) + len(messages)
        partitions = sequence.partitions(messages)
        values, keys = messages.values, pick(self._keys, messages.row)
        for first in range(0, len(messages), self.chunk):
            some = slice(first, first + self.chunk)
            self.producer.send(sequence.topic, values[some], keys[some], partitions[some])

    def _count(self, due: Messages) -> None:
        for number, count in enumerate(np.bincount(due.kind, minlength=len(self._names)).tolist()):
            if count:
                name = self._names[number]
                self.progress.events[name] = self.progress.events.get(name, 0) + count
        struck = due.problem[due.problem >= 0]
        for number, count in enumerate(np.bincount(struck, minlength=len(self._problem_names)).tolist()):
            if count:
                name = self._problem_names[number]
                self.progress.problems[name] = self.progress.problems.get(name, 0) + count
