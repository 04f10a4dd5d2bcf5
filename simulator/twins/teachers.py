"""What a pack's own users would do, as logs: those of its personas (prior), and those of a student that was taught.

Played in memory, without problems of their own choosing, by the same engine that plays runs. Knows no core.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from personas.pack import Pack
from personas.population import DAY_MS
from personas.provenance import RunIdentity
from simulator.behaviour.model import Behaviour
from simulator.memory_producer import MemoryProducer
from simulator.partitioner import Shard
from simulator.simulation import Simulation
from simulator.twins.log import Log

USERS, DAYS = 300, 20
_START = datetime(2026, 1, 5, tzinfo=UTC)


def teachers_of(pack: Pack, student: Path | None = None) -> dict[str, Log]:
    """The logs of all that may teach besides the core, by name: `prior`, and `student` where one is given."""
    found = {"prior": played(pack, None)}
    if student is not None:
        from simulator.behaviour.artefact import load_student

        found["student"] = played(pack, load_student(student, pack).behaviour)
    return found


def played(pack: Pack, behaviour: Behaviour | None) -> Log:
    """What a Behaviour (None: the prior) plays, in the words of the pack."""
    identity = RunIdentity(
        product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint, seed=1,
        users=USERS, start=_START,
    )  # fmt: skip
    simulation = Simulation(pack, identity, Shard.parse("0/1", 1), MemoryProducer(), behaviour=behaviour)
    events: dict[str, Any] = simulation.engine.play(DAYS * DAY_MS).events
    name = (events["user"].astype(np.int64) << 32) + events["session"]
    order = np.lexsort((events["sequence"], name))
    session = np.unique(name[order], return_inverse=True)[1]
    first = np.flatnonzero(np.diff(session, prepend=-1))
    return Log(
        event=events["event"][order].astype(np.int64), item=events["item"][order].astype(np.int64),
        time=events["time"][order].astype(np.int64) * 1000, session=session, first=np.append(first, len(order)),
        user=events["user"][order].astype(np.int64)[first],
        words={"event": tuple(pack.product.events), "item": tuple(item.id for item in pack.catalog.items)}, users=USERS,
    )  # fmt: skip
