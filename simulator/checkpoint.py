"""A checkpoint: what the engine needs to go on from an instant, as a few arrays, and the way back from them.

A run resumes without saved state: it is played again and what the topics hold is not sent a second time. That costs
2 to 4 microseconds per event done, so half a minute at ten millions. A checkpoint only saves that time.

Four ways were considered. Playing only the users who are still there: most events belong to them, so it saves little.
State that can be computed per user: a session depends on the one before (satisfaction, what was seen, when it ended),
so a user is played from the first session or not at all. Reading the state back from the labels and sessions topics:
reading all messages costs more than playing them. So: the arrays. Between two windows no session is in flight in the
engine, because a session is played to its end when it starts; 14 bytes per living user are left after compression.
Messages that wait for their time need not be in it either: a checkpoint counts only where the topics hold *everything*
of the sessions that started before its instant. `settled_at` says from when on that can be so, `reached` what the
topics ended with at such a moment, and whoever loads a checkpoint compares that with what they end with now. So there
is no need to wait for Kafka when one is written, and one that ran ahead of the topics does no harm.

Knows the engine's state and nothing of Kafka; records are made of it in `checkpoint_records`.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import personas
import simulator
from personas.provenance import fingerprint
from simulator.arrivals import BREAK_MS, NEVER
from simulator.engine import Engine
from simulator.sequence import Position
from simulator.simulation import Simulation
from simulator.steering import PROBLEM_RATE

#: To be raised whenever the arrays below change their meaning.
FORMAT = 1
#: The engine's state by user, in the order of its population. `seen`, too, which belongs to its effects.
BY_USER = ("next_start", "sessions", "satisfaction", "history_weight", "ended")

State = dict[str, npt.NDArray[Any]]
Reached = dict[str, dict[int, Position]]
#: (instant, command, value): the steering that was carried out before the instant of a checkpoint.
Steered = tuple[tuple[int, str, float], ...]


@dataclass(frozen=True)
class Checkpoint:
    """The state at `instant` (milliseconds after the start of the run; everything before it has been played).

    `content` is the state, packed; `raw_bytes` its size before compression. It counts where the topics hold all
    messages up to the positions `reached`, and where the run went through the steering `steered`.
    """

    instant: int
    reached: Reached
    steered: Steered
    content: bytes
    raw_bytes: int


def settled_at(engine: Engine) -> int:
    """When the last session that has been played ends: no message of it is later."""
    return int(engine.ended.max(initial=0))


def state_of(engine: Engine, played_until: int) -> State:
    """The engine's state between two windows, when everything before an instant has been played. Users who have not
    come yet are as the population says, and of those who never come back nothing else matters: so the arrays have one
    row per user who came and may come again."""
    gone = engine.next_start >= NEVER
    alive = (engine.sessions > 0) & ~gone
    rows = np.flatnonzero(alive)
    items = np.min_scalar_type(-max(engine.world.item_category.size, 1))  # half of all the bytes
    state: State = {"gone": np.packbits(gone), "alive": np.packbits(alive)}
    state["seen"] = engine.effects.seen[rows].astype(items)
    state |= {name: getattr(engine, name)[rows] for name in BY_USER}
    # the end of a session matters while the next may not begin yet, and not after that
    state["ended"] = np.where(state["ended"] + BREAK_MS > played_until, state["ended"], 0)
    return state


def put_state(engine: Engine, state: State) -> None:
    """Give a fresh engine this state. ValueError when it belongs to another population; nothing has changed then."""
    count = len(engine.population)
    gone, alive = (np.unpackbits(state[name], count=count).astype(bool) for name in ("gone", "alive"))
    rows = np.flatnonzero(alive)
    if any(len(state[name]) != len(rows) for name in (*BY_USER, "seen")):
        raise ValueError("its arrays are of different length")
    engine.next_start[gone] = NEVER
    engine.effects.seen[rows] = state["seen"]
    for name in BY_USER:
        getattr(engine, name)[rows] = state[name]


def pack_state(state: State) -> tuple[bytes, int]:
    """The arrays as one compressed string, and its size before compression. NumPy's own format, without pickle."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **state)
    raw = buffer.getvalue()
    return pa.compress(raw, codec="zstd", asbytes=True), len(raw)


def unpack_state(content: bytes, raw_bytes: int) -> State:
    """The inverse of `pack_state`. ValueError or OSError when it is none."""
    raw = pa.decompress(content, decompressed_size=raw_bytes, codec="zstd", asbytes=True)
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in (*BY_USER, "seen", "gone", "alive")}


def restore(simulation: Simulation, checkpoint: Checkpoint) -> None:
    """Before the first `advance`: the simulation is at the checkpoint's instant, as if it had been played up to it.

    Raises ValueError, OSError or KeyError when the content is not a state of this simulation; nothing has changed then.
    """
    engine = simulation.engine
    put_state(engine, unpack_state(checkpoint.content, checkpoint.raw_bytes))
    for at, command, value in checkpoint.steered:
        if command == PROBLEM_RATE:
            engine.problems.multipliers.append((at, simulation.identity.problem_rate * value))
        else:
            engine.arrival_rates.append((at, value))
    simulation.played_until = checkpoint.instant


def layout_of(simulation: Simulation) -> str:
    """What a checkpoint must have been made with to count here: the same run, shard, program and NumPy."""
    shard = simulation.shard
    return fingerprint({
        "format": FORMAT, "run": simulation.identity.run_id, "shard": [shard.index, shard.count, shard.partitions],
        "program": program_digest(), "numpy": np.__version__,
    })  # fmt: skip


@cache
def program_digest() -> str:
    """SHA-256 (hex) of all source of the rooms that decide what is played. Any change counts: a checkpoint that is not
    used costs some seconds, one that is used wrongly would cost the run."""
    digest = hashlib.sha256()
    for room in (personas, simulator):
        folder = Path(room.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder.parent).as_posix().encode() + b"\x00" + path.read_bytes())
    return digest.hexdigest()
