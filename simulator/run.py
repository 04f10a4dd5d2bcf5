"""The life of a run: backfill at full speed, then live if wanted, steered while it goes, told in manifests.

`Run.play` is the loop; it returns when the run is complete or was asked to stop, and leaves a manifest that says which.
What the loop does is decided by a `Plan`; clock, producer, steering and reporting are passed in. Knows neither signals
nor servers nor terminals (see `daemon`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from personas.event import RUN
from personas.population import DAY_MS
from personas.provenance import (
    NO_LINEAGE,
    RunIdentity,
    RunLineage,
    RunManifest,
    RunState,
    SteeringChange,
    dayone_version,
)
from personas.topics import RUNS
from simulator.checkpointer import Checkpointer, steering_of
from simulator.choice import Interrupted
from simulator.clock import VirtualClock, WallClock
from simulator.producer import MessageProducer
from simulator.simulation import Simulation
from simulator.steering import ARRIVAL_RATE, PROBLEM_RATE

if TYPE_CHECKING:
    from simulator.tutoring import Tutoring

TICK_SECONDS = 0.25
FIRST_WINDOW_MS = 6 * 3_600_000
LARGEST_GROWTH = 3.0
MANIFEST_SECONDS = 10.0


@dataclass(frozen=True)
class Plan:
    """How far and how fast: `days` of backfill, then live (or the end). `batch_events`: events played at once."""

    days: float
    live: bool = False
    speed: float = 1.0
    batch_events: int = 100_000

    @property
    def horizon(self) -> int:
        """The end of the backfill, in milliseconds after the start of the run."""
        return round(self.days * DAY_MS)


class Helm(Protocol):
    """What the loop asks of steering; `simulator.control.Steering` is the one that listens to a topic."""

    @property
    def paused(self) -> bool: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def arrival_rate(self) -> float: ...
    @property
    def problem_rate(self) -> float: ...


class Run:
    """A run in progress. `report` is called after each window with the run itself."""

    def __init__(
        self,
        simulation: Simulation,
        producer: MessageProducer,
        plan: Plan,
        *,
        clock: WallClock,
        steering: Helm,
        stop: threading.Event,
        report: Callable[[Run], None] = lambda run: None,
        earlier: RunManifest | None = None,
        checkpointer: Checkpointer | None = None,
        tutoring: Tutoring | None = None,
        lineage: RunLineage = NO_LINEAGE,
    ) -> None:
        self.simulation, self.producer, self.plan = simulation, producer, plan
        self.clock, self.steering, self.stop, self.report = clock, steering, stop, report
        self.identity: RunIdentity = simulation.identity
        self.changes: list[SteeringChange] = list(earlier.steering) if earlier else []
        self.checkpointer, self.tutoring, self.lineage = checkpointer, tutoring, lineage
        if tutoring is not None:
            tutoring.stopping = self._stopping
        self._steered = list(steering_of(earlier))
        self._replay = [change for change in self._steered if change[0] >= simulation.played_until]
        self._rates = {PROBLEM_RATE: 1.0, ARRIVAL_RATE: 1.0}
        for at, command, value in self._steered:
            if at < simulation.played_until:  # a checkpoint has it
                self._rates[command] = value
        self._told_at = float("-inf")
        #: How far a live run is behind the virtual clock, in seconds of the wall clock; 0 in a backfill.
        self.lag_seconds = 0.0
        self.state: RunState = "started"
        #: Up to here (milliseconds) the topics held something of this run already; 0 when they held nothing.
        self.resumed_until = simulation.held_until + 1

    @property
    def resumed_at(self) -> datetime:
        """`resumed_until` as a date."""
        return self.identity.start + timedelta(milliseconds=self.resumed_until)

    def play(self) -> RunState:
        """Play until the plan is fulfilled or a stop is asked for. Errors leave a manifest that says failed."""
        try:
            self._tell()
            self._backfill()
            if self.plan.live and not self._stopping():
                self._live()
            self.producer.flush()
            self.state = "stopped" if self._stopping() else "completed"
        except BaseException as error:
            self.state = "failed"
            self._try_to_tell(f"{type(error).__name__}: {error}")
            raise
        self._tell()
        self.producer.flush()
        return self.state

    def _stopping(self) -> bool:
        return self.stop.is_set() or self.steering.stopped

    def _backfill(self) -> None:
        end = self.plan.horizon
        if self.plan.live:  # what the topics hold, and what the run went through, is caught up with first
            end = max(end, self.resumed_until, *(at + 1 for at, *_ in self._replay))
        complete = self.simulation.complete_until
        window = FIRST_WINDOW_MS
        if self.simulation.played_until:  # from a checkpoint on: to the end of what is held in one go
            window = max(window, complete - self.simulation.played_until)
        while self.simulation.played_until < end and not self._stopping():
            if self.steering.paused:
                self.clock.wait(TICK_SECONDS, self.stop)
                continue
            self._steer()
            start = self.simulation.played_until
            stops = [at for at in (complete, *(at for at, *_ in self._replay)) if at > start]
            until = min(start + window, end, *stops)
            before = self.simulation.played_effort
            self._advance(until)
            played = self.simulation.played_effort - before
            batch = self.plan.batch_events / (10 if until == complete else 1)  # the first that is new comes soon
            wanted = (until - start) * batch / max(played, 1)
            window = max(1000, int(min(wanted, window * LARGEST_GROWTH)))

    def _live(self) -> None:
        virtual = VirtualClock(self.clock, self.simulation.played_until, self.plan.speed)
        while not self._stopping():
            virtual.pause(self.steering.paused)
            self._steer()
            self._advance(virtual.now())
            self.lag_seconds = max(0.0, (virtual.now() - self.simulation.played_until) / 1000 / self.plan.speed)
            self.clock.wait(TICK_SECONDS, self.stop)

    def _advance(self, until: int) -> None:
        try:
            self.simulation.advance(until)
        except Interrupted:  # asked to stop in the middle of a window: it is played again when the run goes on
            return
        if self.checkpointer is not None:
            now = self.simulation.played_until
            self.checkpointer.after_window(tuple(change for change in self._steered if change[0] < now))
        if self.clock.monotonic() - self._told_at > MANIFEST_SECONDS:
            self._tell()
        self.report(self)

    def _steer(self) -> None:
        """Carry out what was asked since the last window; first what an earlier start of this run went through."""
        now = self.simulation.played_until
        while self._replay and self._replay[0][0] <= now:
            _, command, value = self._replay.pop(0)
            self._apply(command, value)
        if self._replay:
            return
        wanted = {PROBLEM_RATE: self.steering.problem_rate, ARRIVAL_RATE: self.steering.arrival_rate}
        for command, value in wanted.items():
            if value != self._rates[command]:
                self._apply(command, value)
                when = self.identity.start + timedelta(milliseconds=now)
                self.changes.append(SteeringChange(at=when, command=command, value=value))
                self._steered.append((now, command, value))
                self._tell()
                self.producer.flush()

    def _apply(self, command: str, value: float) -> None:
        self._rates[command] = value
        if command == PROBLEM_RATE:
            self.simulation.change_problem_rate(self.identity.problem_rate * value)
        else:
            self.simulation.change_arrival_rate(value)

    def manifest(self, reason: str = "") -> RunManifest:
        """The run as it stands."""
        one = self.simulation
        return RunManifest(
            run_id=self.identity.run_id,
            identity=self.identity,
            state=self.state,
            shard=one.shard.index,
            shards=one.shard.count,
            days=self.plan.days,
            dayone_version=dayone_version(),
            updated=self.clock.now(),
            virtual_time=self.identity.start + timedelta(milliseconds=one.played_until),
            counts={**one.progress.messages, **(one.twins.told.counts() if one.twins else {})},
            steering=tuple(self.changes),
            reason=reason,
            tutor=None if self.tutoring is None else self.tutoring.report(self.identity.start),
            lineage=self.lineage,
        )

    def _tell(self, reason: str = "") -> None:
        self._told_at = self.clock.monotonic()
        manifest = self.manifest(reason)
        value = manifest_message(manifest)
        self.producer.send(RUNS, [value], [manifest.key.encode()], [0])

    def _try_to_tell(self, reason: str) -> None:
        try:
            self._tell(reason)
            self.producer.flush(5.0)
        except Exception:  # noqa: BLE001, S110 - the first error is the one to report
            pass


def manifest_message(manifest: RunManifest) -> bytes:
    """The manifest in its envelope."""
    updated = manifest.updated.strftime("%Y-%m-%dT%H:%M:%S.") + f"{manifest.updated.microsecond // 1000:03d}Z"
    envelope = {
        "specversion": "1.0",
        "id": f"{manifest.key}.{updated}",
        "source": f"/dayone/{manifest.identity.product}",
        "type": RUN,
        "time": updated,
        "subject": manifest.run_id,
        "synthetic": True,
        "runid": manifest.run_id,
        "generator": manifest.identity.generator,
        "generation": manifest.identity.generation,
        "data": manifest.model_dump(mode="json"),
    }
    return json.dumps(envelope, separators=(",", ":")).encode()
