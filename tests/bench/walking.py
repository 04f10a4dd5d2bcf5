"""Agents' sessions played again from recordings: how many events a second one process makes of them, messages included.

The answers are those of a model that chooses at random, recorded first and then replayed: nobody is asked. What is
left is what an agent costs beside its answers: the screen as text, the question's fingerprint, the recording, the
world. Time of the processor, because it hardly depends on what else the machine does.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from personas.population import DAY_MS
from personas.provenance import TutorIdentity
from simulator.agents.connection import TutorSettings
from simulator.agents.fakes import RandomModel
from simulator.agents.recordings import FILE, Mode, Recordings
from simulator.agents.replay import RecordedModel
from simulator.partitioner import Shard
from simulator.producer import MemoryProducer
from simulator.simulation import Simulation
from simulator.tutoring import Tutoring
from tests.bench.figures import Figure
from tests.runs import identity_of, pack_of

TUTOR = TutorIdentity(share=1.0, model="random", prompts="0")
GOAL = 5_000
DAYS = 12


def measure(users: int = 1500) -> list[Figure]:
    """Events a second of replayed sessions."""
    with tempfile.TemporaryDirectory() as folder:
        _walked(Path(folder), "record", users)
        seconds, events, decisions = _walked(Path(folder), "replay", users)
    note = f"{decisions:,} decisions of {events:,} events, {seconds:.1f} s of processor time"
    return [Figure("agents", "replayed sessions", events / seconds, "events/s", goal=GOAL, note=note)]


def _walked(folder: Path, mode: Mode, users: int) -> tuple[float, int, int]:
    """Seconds of the processor, events, decisions."""
    identity = identity_of("shop", users=users).model_copy(update={"tutor": TUTOR})
    recordings = Recordings(folder / FILE, writable=mode != "replay")
    model = RecordedModel(RandomModel() if mode == "record" else None, recordings, mode)
    settings = TutorSettings(tutor_recordings=folder, tutor_recording_mode=mode)
    with Tutoring(TUTOR, settings, None, lambda *_: model) as tutoring:
        shard = Shard(0, 1, 4)
        simulation = Simulation(pack_of("shop"), identity, shard, MemoryProducer(), agents=tutoring.agents)
        tutoring.open(resumed=False)
        begun = time.process_time()
        simulation.advance(DAYS * DAY_MS)
        took = time.process_time() - begun
        return took, simulation.progress.total_events, tutoring.asker.counts.decisions
