"""One run (or one shard of it), from a pack to messages: population, engine, encoder and order, put together.

`advance(until)` plays up to an instant and sends what is due. It knows nothing of wall clocks, signals or metrics
servers: the daemon does. Times are milliseconds after the start of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from personas.pack import Pack
from personas.population import sample_population
from personas.provenance import RunIdentity
from personas.situations import Situations
from personas.topics import events_topic, labels_topic, sessions_topic, users_topic
from simulator.arrivals import Arrivals
from simulator.behaviour.prior import prior
from simulator.encode import Encoder, Messages, ending_from
from simulator.engine import Engine
from simulator.partitioner import Shard, partition_of
from simulator.producer import MessageProducer
from simulator.sequence import Position, Sequence
from simulator.slates import build_rankings
from simulator.world import build_world

Held = dict[str, dict[int, Position]]


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
    """A seeded run over topics with a given number of partitions."""

    def __init__(
        self, pack: Pack, identity: RunIdentity, shard: Shard, producer: MessageProducer, chunk: int = 50_000
    ) -> None:
        self.pack, self.identity, self.shard, self.producer, self.chunk = pack, identity, shard, producer, chunk
        situations = Situations(pack.product)
        population = sample_population(pack, identity, shard.keeps)
        rankings = build_rankings(pack)
        world = build_world(pack, situations)
        self.behaviour = prior(pack, situations)
        self.engine = Engine(population, world, self.behaviour, rankings, Arrivals(pack, identity.start))
        self.engine.problems.multipliers = [(0, identity.problem_rate)]
        self.encoder = Encoder(pack, identity, population, rankings)
        self.population = population
        self.progress = Progress()
        self.played_until = 0
        self.played_events = 0
        self._keys = pa.array(population.ids.tolist(), pa.binary())
        self._partition = partition_of(population.ids, shard.partitions)
        self._names = list(pack.product.events)
        self._problem_names = list(pack.product.problems)
        self.resume({})

    def resume(self, held: Held) -> None:
        """Before the first `advance`: skip what the topics hold already, per topic and partition."""
        product = self.identity.product
        #: The latest instant of which the topics already held something, -1 when they held nothing.
        self.held_until = max((position[0] for each in held.values() for position in each.values()), default=-1)
        topics = (events_topic(product), sessions_topic(product), users_topic(product), labels_topic(product))
        self.events, self.sessions, self.users, self.labels = (
            Sequence(topic, self._partition, held.get(topic)) for topic in topics
        )

    @property
    def complete_until(self) -> int:
        """Before this instant the topics held everything, when this began: it is played, and not even encoded."""
        return min(sequence.complete_until for sequence in (self.events, self.sessions, self.labels))

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """The messages of the four data topics, in the order in which they are sent."""
        return self.users, self.events, self.sessions, self.labels

    def advance(self, until: int) -> int:
        """Play and send everything before `until`; the number of events sent. The instants of successive calls rise."""
        if until <= self.played_until:
            return 0
        signed_up = self.population.signed_up
        new = np.flatnonzero((signed_up >= self.played_until) & (signed_up < until))
        played = self.engine.play(until)
        self.played_events += len(played.events["time"])
        if self.played_until < self.complete_until:
            played = ending_from(played, self.complete_until)
        latest = int(played.events["time"].max()) if len(played.events["time"]) else self.played_until
        if latest >= self.events.complete_until:
            self.events.add(self.encoder.events(played))
        if latest >= self.sessions.complete_until:
            self.sessions.add(self.encoder.sessions(played))
        if latest >= self.labels.complete_until:
            self.labels.add(self.encoder.session_labels(played))
            self.labels.add(self.encoder.user_labels(new))
        self.users.add(self.encoder.users(new))
        self.played_until = until
        sent = 0
        for sequence in self.sequences:
            due = sequence.due(until)
            self._send(sequence, due)
            if sequence is self.events:
                sent = len(due)
                self._count(due)
        return sent

    def change_problem_rate(self, factor: float) -> None:
        """From `played_until` on, sessions meet problems `factor` times as often as declared."""
        self.engine.problems.multipliers.append((self.played_until, factor))

    def change_arrival_rate(self, factor: float) -> None:
        """From `played_until` on, users come back `factor` times as often as declared."""
        self.engine.change_arrival_rate(self.played_until, factor)

    def _send(self, sequence: Sequence, messages: Messages) -> None:
        self.progress.messages[sequence.topic] = self.progress.messages.get(sequence.topic, 0) + len(messages)
        partitions = sequence.partitions(messages)
        values, keys = messages.values, self._keys.take(pa.array(messages.row))
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
