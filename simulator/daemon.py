"""`dayone simulate` as a process: broker, topics, resume, steering, signals, metrics and health around one run.

Everything that belongs to the operating system is here, so that `run` and `simulation` need none of it. The first
SIGINT or SIGTERM asks the run to stop: what is due is sent and acknowledged, the manifest says `stopped`, and the exit
code is 130. A second one ends at once; the topics are consistent then too, and the same command goes on from them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from personas.arrow import keep_memory
from personas.connection import KafkaConnection
from personas.errors import StudentError, TwinError
from personas.health import HealthServer
from personas.provenance import RunManifest, RunState
from personas.topics import CHECKPOINTS, product_topics
from simulator.behaviour.model import Behaviour
from simulator.checkpoint_records import SLOTS
from simulator.checkpointer import Checkpointer, go_on, place_of
from simulator.clock import WallClock
from simulator.control import Steering, listening
from simulator.interruption import signals_to
from simulator.order import Order
from simulator.partitioner import Shard
from simulator.producer import EventProducer, MessageProducer
from simulator.resume import held_manifest, held_positions
from simulator.run import Run
from simulator.settings import SimulatorSettings
from simulator.simulation import Simulation
from simulator.steering import ARRIVAL_RATE, PROBLEM_RATE
from simulator.tail import last_messages, windows_back
from simulator.telemetry import Telemetry, TutorTelemetry
from simulator.topic_admin import cluster_id_of, provision

if TYPE_CHECKING:
    from simulator.tutoring import Tutoring
    from simulator.twins.playing import Twins

MEGABYTE = 1_000_000
log = logging.getLogger("dayone.simulator")


def run_order(
    order: Order,
    settings: SimulatorSettings,
    connection: KafkaConnection,
    *,
    report: Callable[[Run], None] = lambda run: None,
    clock: WallClock | None = None,
    memory_bytes: Callable[[], int] = lambda: 0,
    stop: threading.Event | None = None,
) -> Run:
    """Carry out an order on the broker at `connection`, until it is complete or the process is told to stop: by a
    signal, or by `stop`, which may be set already."""
    keep_memory()
    product, clock = order.identity.product, clock or WallClock()
    shard = Shard.parse(order.shard, order.partitions)
    provision(connection, product_topics(product, order.partitions), timeout=settings.simulator_connect_seconds)
    telemetry = Telemetry()
    stop = stop or threading.Event()
    ready = threading.Event()
    with ExitStack() as stack:
        asked = stack.enter_context(signals_to(stop))
        stack.enter_context(
            HealthServer(
                telemetry.render, ready.is_set, host=settings.metrics_host, port=settings.simulator_metrics_port
            )
        )
        # What the topics hold is read from this cluster, so only there may the run go on.
        producer: MessageProducer = EventProducer(connection, cluster_id=cluster_id_of(connection))
        stack.callback(producer.close)
        asked.append(producer.stop)  # a broker that is away must not hold up the end
        tutoring = None
        if order.identity.tutor is not None:
            tutoring = stack.enter_context(_tutoring(order, settings, shard))
        run, steering = _prepare(order, shard, connection, producer, stop, clock, tutoring)
        stack.enter_context(listening(connection, steering))
        tutor_telemetry = TutorTelemetry(telemetry.registry) if tutoring is not None else None

        def reported(current: Run) -> None:
            telemetry.observe(current, producer.counts(), memory_bytes())
            if tutoring is not None and tutor_telemetry is not None:
                agents, quality = tutoring.asker.counts, tutoring.quality()
                tutor_telemetry.observe(tutoring.counts, tutoring.budget, agents, quality)
            report(current)

        run.report = reported
        if run.resumed_until:
            again = run.manifest().virtual_time if run.simulation.played_until else "its beginning"
            words = "run %s goes on: the topics hold it up to %s; it is played again from %s, without sending"
            log.info(words, order.identity.run_id, run.resumed_at, again)
        ready.set()
        begun = clock.monotonic()
        state: RunState = run.play()
        if tutoring is not None and state == "completed":
            tutoring.complete()
        reported(run)
        log.info("run %s %s: %d events sent", order.identity.run_id, state, run.simulation.progress.total_events)
        if run.checkpointer is not None and run.checkpointer.count:
            one = run.checkpointer
            elapsed, size = clock.monotonic() - begun, one.bytes / MEGABYTE
            log.info("%d checkpoints of %.1f MB took %.2f s of %.1f s", one.count, size, one.seconds, elapsed)
    return run


def _prepare(
    order: Order, shard: Shard, connection: KafkaConnection, producer: MessageProducer, stop: threading.Event,
    clock: WallClock, tutoring: Tutoring | None,
) -> tuple[Run, Steering]:  # fmt: skip
    agents = None if tutoring is None else tutoring.agents
    simulation = Simulation(
        order.pack, order.identity, shard, producer, behaviour=_behaviour_of(order), agents=agents,
        twins=_twins_of(order), speaker=None if tutoring is None else tutoring.speaker,
    )  # fmt: skip
    held = held_positions(connection, order.identity, simulation.population, shard, last_messages)
    earlier = held_manifest(connection, order.identity, shard, last_messages)
    simulation.resume(held)
    if tutoring is not None:
        tutoring.stopping = stop.is_set
        tutoring.open(resumed=simulation.held_until >= 0, earlier=earlier.tutor if earlier else None)
    checkpointer = None
    if order.checkpoints is not None:
        place, slot = place_of(simulation), None
        if simulation.held_until >= 0:
            with closing(windows_back(connection, CHECKPOINTS, place.owns)) as windows:
                slot = go_on(simulation, place, earlier, windows)
        slot = 0 if slot is None else (slot + 1) % SLOTS
        checkpointer = Checkpointer(simulation, producer, place, order.checkpoints, clock, slot)
    steering = steering_after(order.identity.run_id, earlier, fixed=order.identity.twin is not None)
    run = Run(
        simulation, producer, order.plan, clock=clock, steering=steering, stop=stop, earlier=earlier,
        checkpointer=checkpointer, tutoring=tutoring, lineage=order.lineage,
    )  # fmt: skip
    return run, steering


def _behaviour_of(order: Order) -> Behaviour | None:
    """The tables that play the users; None for the prior's."""
    if order.student is None:
        return None
    from simulator.behaviour.artefact import load_student

    student = load_student(order.student, order.pack).behaviour
    if student.fingerprint != order.identity.student:
        raise StudentError(f"{order.student}: the student was replaced meanwhile", hint="Start the run again.")
    return student


def _tutoring(order: Order, settings: SimulatorSettings, shard: Shard) -> Tutoring:
    """The agents of one shard. The ceiling of the run is divided among its shards, which may know nothing of each
    other; those that share a file of spending do not exceed it either, however often the run is divided anew."""
    from simulator.agents.spending import Payer
    from simulator.tutoring import Tutoring

    assert order.identity.tutor is not None
    if order.budget is None:
        return Tutoring(order.identity.tutor, settings, None, batches=order.batches)
    payer = Payer(order.identity.run_id, f"{shard.index}/{shard.count}", order.budget, fresh=True)
    ceiling = order.budget / shard.count
    return Tutoring(order.identity.tutor, settings, ceiling, batches=order.batches, payer=payer)


def _twins_of(order: Order) -> Twins | None:
    """The model of real users that plays all of them, in a run of twins."""
    if order.twin is None:
        return None
    from simulator.twins.playing import Twins

    twins = Twins.load(order.twin, order.pack)
    if twins.lineage.fingerprint != order.identity.twin:
        raise TwinError(f"{order.twin}: the model was replaced meanwhile", hint="Start the run again.")
    return twins


def steering_after(run_id: str, earlier: RunManifest | None, *, fixed: bool = False) -> Steering:
    """The steering of a run that goes on: its rates are those that the run was last steered to, if it has any."""
    last = {change.command: change.value or 0.0 for change in earlier.steering} if earlier else {}
    rates = {"arrival_rate": last.get(ARRIVAL_RATE, 1.0), "problem_rate": last.get(PROBLEM_RATE, 1.0)}
    return Steering(run_id, **rates, fixed=fixed)
