"""One simulator and one sink as processes, killed on schedule and started again until the run is complete.

A `Stage` is the supervisor that a production machine has, in a few lines: whoever dies is started again with the same
command. It kills, counts what it killed, and when the simulator has ended by itself it tells the sink to drain. What is
in the database then is `truth`'s to judge. Knows no broker: what happens to brokers and networks comes in as `Blow`s.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.victim import SIMULATOR_MOMENTS, SINK_MOMENTS
from tests.integration.program import PACK, Program, free_port, metrics
from tests.nursery import Starter

ANY_TIME = "any time"
#: Exit code of a simulator or sink that has lost its broker for good.
BROKER_LOST = 4
#: librdkafka 2.16 falls over a topic that it does not know (`rd_kafka_metadata_update_op`) when the cluster behind an
#: address is another one, once in some fifty times (see https://github.com/confluentinc/librdkafka/issues/5280). The
#: database does not mind; it is counted and shown.
CRASHED = -signal.SIGSEGV
SENT = "dayone_simulator_events_total"
STORED = 'dayone_sink_rows_total{table="events"}'


@dataclass(frozen=True)
class Kill:
    """A SIGKILL to a process: at a moment of `victim` (the `after`th batch or event), or from outside, `delay` seconds
    after its first events went through."""

    moment: str
    after: int = 1
    delay: float = 0.0


@dataclass
class Blow:
    """Something that is done to a broker or a network when the simulator has sent so many events since it was last
    started. `deal` returns when it is done. Where a broker `forgets` what it held, the simulator is started again
    however it ends, and the next blow is for its successor."""

    name: str
    after: int
    deal: Callable[[], None]
    forgets: bool = False


@dataclass
class Actor:
    """A command, and the kills that it still has to suffer."""

    role: str
    words: tuple[object, ...]
    metric: str
    kills: list[Kill] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    program: Program | None = None
    port: int = 0
    armed: Kill | None = None
    flowing_since: float | None = None
    draining: bool = False

    @property
    def running(self) -> bool:
        """Whether its process runs now."""
        return self.program is not None and self.program.running

    def flowed(self) -> float:
        """Events that went through it since it was last started."""
        return metrics(self.port).get(self.metric, 0.0)


class StageError(AssertionError):
    """Something ended that should not, or did not end."""


@dataclass
class Stage:
    """See the module's text. `struck` counts kills by name, `noticed` simulators that said that their broker
    is lost, `crashed` sinks that their client library took down."""

    starter: Starter
    simulator: Actor
    sink: Actor
    blows: list[Blow] = field(default_factory=list)
    timeout: float = 240.0
    struck: Counter[str] = field(default_factory=Counter)
    noticed: int = 0
    crashed: int = 0
    _forgotten: bool = False
    _dealt: list[Blow] = field(default_factory=list)

    def play(self) -> None:
        """Everything, to the end. StageError where a process ends otherwise than it should, or nothing ends."""
        deadline = time.monotonic() + self.timeout
        self._start(self.sink)
        self._start(self.simulator)
        completed = False
        while True:
            if time.monotonic() > deadline:
                raise StageError(f"nothing ended within {self.timeout:g} s: {self._tails()}")
            self._strike(self.simulator)
            self._strike(self.sink)
            self._deal_blows()
            if not self.sink.running:
                if self._ended(self.sink) and completed:
                    return
                self._start(self.sink)
            if not completed and not self.simulator.running:
                completed = self._ended(self.simulator) and not self._forgotten
                self._forgotten = False
                if not completed:
                    self._start(self.simulator)
            if completed:
                self._drain()
            time.sleep(0.02)

    def _start(self, actor: Actor) -> None:
        actor.armed = actor.kills.pop(0) if actor.kills else None
        actor.port, actor.flowing_since, actor.draining = free_port(), None, False
        words = (*actor.words, "--metrics-port", actor.port)
        kill = actor.armed
        module: tuple[object, ...] = ("dayone",)
        if kill is not None and kill.moment != ANY_TIME:
            module = ("tests.faults.victim", kill.moment, kill.after, kill.delay)
        actor.program = self.starter(*words, env=actor.environment, module=module)

    def _strike(self, actor: Actor) -> None:
        """Kill from outside, when it is time."""
        if actor.armed is None or actor.armed.moment != ANY_TIME or actor.program is None or not actor.running:
            return
        if actor.flowing_since is None and actor.flowed() > 0:
            actor.flowing_since = time.monotonic()
        if actor.flowing_since is not None and time.monotonic() > actor.flowing_since + actor.armed.delay:
            actor.program.signal(signal.SIGKILL)
            actor.program.wait()

    def _drain(self) -> None:
        """Ask the sink, once in each of its lives, to end when it has read everything."""
        program = self.sink.program
        if not self.sink.draining and program is not None and self.sink.running and " reading " in program.err:
            self.sink.draining = True
            program.signal(signal.SIGTERM)

    def _deal_blows(self) -> None:
        if not self.blows or self._forgotten or not self.simulator.running:
            return
        if self.simulator.flowed() >= self.blows[0].after:
            blow = self.blows.pop(0)
            blow.deal()
            self._forgotten = blow.forgets
            self._dealt.append(blow)
            self.struck[blow.name] += 1

    def _ended(self, actor: Actor) -> bool:
        """Whether it ended well; counts the kill that ended it. Only what was asked for may end it otherwise."""
        assert actor.program is not None
        code = actor.program.wait()
        if "Traceback" in actor.program.err:
            raise StageError(f"{actor.role} shows a traceback: {actor.program.err[-3000:]}")
        if code == -signal.SIGKILL and actor.armed is not None:
            self.struck[kill_name(actor.role, actor.armed)] += 1
            return False
        self.noticed += code == BROKER_LOST and actor is self.simulator
        may_crash = actor is self.sink and any(blow.forgets for blow in self._dealt)
        self.crashed += code == CRASHED
        # A sink that is started while its broker is away waits, but not for ever: it says so with BROKER_LOST.
        if code not in (0, BROKER_LOST) and not (code == CRASHED and may_crash):
            raise StageError(f"{actor.role} ended with {code}: {actor.program.err[-3000:]}")
        if actor.armed is not None:  # it ended before its time to be killed
            actor.kills.insert(0, actor.armed)
        return code == 0

    def _tails(self) -> str:
        programs = [actor.program for actor in (self.simulator, self.sink) if actor.program is not None]
        return "\n".join(program.err[-1500:] for program in programs)


def kill_name(role: str, kill: Kill) -> str:
    """The name of a kill in the report."""
    moments = {ANY_TIME: ANY_TIME, **SINK_MOMENTS, **SIMULATOR_MOMENTS}
    return f"{role}: {moments[kill.moment]}"


def commands(
    servers: str, words: Iterable[object], store: Path, *, batch_rows: int, batch_events: int
) -> tuple[Actor, Actor]:  # fmt: skip
    """The simulator and the sink of a stage, without kills. Small batches make many commits and many windows."""
    simulator = Actor(
        "simulator", ("simulate", *words, "--bootstrap-servers", servers, "--batch-events", batch_events), SENT
    )
    sink = Actor(
        "sink",
        ("sink", PACK, "--store", store, "--bootstrap-servers", servers, "--batch-rows", batch_rows), STORED,
        environment={"DAYONE_SINK_BATCH_SECONDS": "0.2", "DAYONE_SINK_DRAIN_SECONDS": "600"},
    )  # fmt: skip
    return simulator, sink
