"""When checkpoints are written, and which one a run that is started again goes on from.

A `Checkpointer` is told after each window; now and then it takes the state, and sends it once the topics can hold all
that belongs to it (see `checkpoint`). Whatever the number of users, it takes at most two hundredths of the time (after
a checkpoint that took t seconds, the next one is not before sixty t), and adds at most two hundredths to the bytes that
are sent, before compression. Knows no broker and no files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from zipfile import BadZipFile

from personas.provenance import RunManifest
from personas.topics import CHECKPOINTS
from simulator.checkpoint import Checkpoint, Steered, layout_of, pack_state, restore, settled_at, state_of
from simulator.checkpoint_records import SLOTS, Place, records_of, usable
from simulator.clock import WallClock
from simulator.producer import MessageProducer
from simulator.simulation import Simulation

log = logging.getLogger("dayone.simulator")

#: The time between two checkpoints is at least this many times what the last one took.
REST = 60.0


@dataclass(frozen=True)
class CheckpointPlan:
    """A checkpoint after so many events, or later where it would cost too much. What a restart has to play again is
    about as much, so there is no reason for one in the small hours of a live run."""

    events: int = 250_000
    #: Bytes of checkpoints, as a share of all that is sent.
    share: float = 0.02


@dataclass
class _Taken:
    """A state that was taken, not yet sent."""

    instant: int
    settled_at: int
    steered: Steered
    content: bytes
    raw_bytes: int


class Checkpointer:
    """Writes the checkpoints of one shard of a run. `slot` is the one that the next may take."""

    def __init__(
        self, simulation: Simulation, producer: MessageProducer, place: Place, plan: CheckpointPlan, clock: WallClock,
        slot: int = 0,
    ) -> None:  # fmt: skip
        self.simulation, self.producer, self.place, self.plan = simulation, producer, place, plan
        self.clock, self.slot = clock, slot
        #: How many were sent, and how many bytes that took.
        self.count = self.bytes = 0
        self.seconds = 0.0
        self._taken: _Taken | None = None
        self._seen_until = simulation.played_until
        self._last_cost, self._last_size = 0.0, 0
        self._last_bytes = producer.counts().bytes
        self._last_at, self._last_events = clock.monotonic(), simulation.played_events

    def after_window(self, steered: Steered) -> None:
        """Take a checkpoint if it is time, send the one that was taken if all of its messages have been sent.
        `steered`: the steering that was carried out before the end of the window."""
        if self.simulation.played_until == self._seen_until:
            return  # steered where it stands: what counts from this instant on is in the state, but not in `steered`
        self._seen_until = self.simulation.played_until
        begun = self.clock.monotonic()
        if self._taken is None and self._due(begun):
            instant = self.simulation.played_until
            content, size = pack_state(state_of(self.simulation.engine, instant))
            settled = settled_at(self.simulation.engine)
            self._taken = _Taken(instant, settled, steered, content, size)
            self._last_cost = self.clock.monotonic() - begun
            self.seconds += self._last_cost
            self._last_size, self._last_bytes = len(content), self.producer.counts().bytes
            self._last_at, self._last_events = begun, self.simulation.played_events
        elif self._taken is not None and self.simulation.played_until > self._taken.settled_at:
            self._send(self._taken)
            self._taken = None
            cost = self.clock.monotonic() - begun
            self._last_cost += cost
            self.seconds += cost

    def _due(self, now: float) -> bool:
        if self.simulation.played_events - self._last_events < self.plan.events:
            return False
        if now - self._last_at < REST * self._last_cost:
            return False
        return (self.producer.counts().bytes - self._last_bytes) * self.plan.share >= self._last_size

    def _send(self, taken: _Taken) -> None:
        reached = {each.topic: dict(each.reached) for each in self.simulation.sequences}
        checkpoint = Checkpoint(taken.instant, reached, taken.steered, taken.content, taken.raw_bytes)
        records = records_of(checkpoint, self.place, self.slot, self.clock.now())
        for key, value in records:  # one by one: a checkpoint of many users is larger than a chunk of events
            self.producer.send(CHECKPOINTS, [value], [key], [0])
            self.bytes += len(value)
        self.slot = (self.slot + 1) % SLOTS
        self.count += 1


def place_of(simulation: Simulation) -> Place:
    """Where the checkpoints of a simulation are found."""
    return Place(simulation.identity, simulation.shard, layout_of(simulation))


def steering_of(earlier: RunManifest | None) -> Steered:
    """What a run was steered to and when, as its manifest has it."""
    if earlier is None:
        return ()
    start = earlier.identity.start
    return tuple(
        (round((change.at - start).total_seconds() * 1000), change.command, change.value or 0.0)
        for change in earlier.steering
    )


def go_on(
    simulation: Simulation, place: Place, earlier: RunManifest | None, windows: Iterable[list[tuple[bytes, bytes]]]
) -> int | None:
    """After `Simulation.resume`: put the simulation where the newest checkpoint that counts was taken; its slot, or
    None when there is none and the whole run has to be played again. `windows` are the records that the place owns,
    from the end of the topic backwards. Why a checkpoint is passed over is logged."""
    held = {each.topic: each.reached for each in simulation.sequences}

    def refused(reason: str) -> None:
        log.info("a checkpoint of run %s is not used: %s", simulation.identity.run_id, reason)

    for checkpoint, slot in usable(windows, place, held, steering_of(earlier), refused):
        try:
            restore(simulation, checkpoint)
            return slot
        except (ValueError, OSError, KeyError, EOFError, BadZipFile) as error:
            refused(f"its content is no state of this run: {error}")
    return None
