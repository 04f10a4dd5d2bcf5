"""How much each teacher knows of the core: what personas declare (prior), what a student was taught, the core itself.

Each teacher says how likely every event, or the end, follows each other one. A tenth of the core's users, chosen by
hash, whom the core's own teacher has not seen, judge: the log-loss of each teacher, and the weights of the mixture that
explains them best (maximum likelihood by expectation maximisation, Dempster, Laird, Rubin 1977). With few users much of
the weight is the prior's; it fades as they come. Told in the lineage; the twin model is fitted on the core alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.pack import Pack
from personas.population import DAY_MS
from personas.provenance import RunIdentity
from personas.randomness import fold, root_key, uniform
from simulator.behaviour.model import Behaviour
from simulator.memory_producer import MemoryProducer
from simulator.partitioner import Shard
from simulator.simulation import Simulation
from simulator.twins.log import I64, log_of

F64 = npt.NDArray[np.float64]
HELD_OUT = 0.1
USERS, DAYS = 300, 20
_SMOOTH = 0.1


def evidence_of(table: pa.Table, pack: Pack, student: Path | None = None) -> dict[str, dict[str, float]]:
    """For each teacher `weight` (they add up to 1) and `log_loss` (nats an event, held-out users of the core). The
    events of the table are the pack's. Empty where too few users are held out to tell."""
    log = log_of(table)
    events = list(pack.product.events)
    code = np.array([events.index(word) for word in log.words["event"]], dtype=np.int64)[log.event]
    pairs = _pairs(code, log.session, len(events))
    judges = (uniform(fold(root_key("evidence"), np.arange(log.users))) < HELD_OUT)[log.user[log.session]]
    if judges.sum() < 20 or judges.all():
        return {}
    teachers = {"core": _chain(pairs[~judges], len(events)), "prior": _taught(pack, None, len(events))}
    if student is not None:
        from simulator.behaviour.artefact import load_student

        teachers["student"] = _taught(pack, load_student(student, pack).behaviour, len(events))
    chances = np.stack([chain.ravel()[pairs[judges]] for chain in teachers.values()], axis=1)
    weights = _mixture(chances)
    losses = -np.log(chances).mean(axis=0)
    found = {
        name: {"weight": round(float(weight), 4), "log_loss": round(float(loss), 4)}
        for name, weight, loss in zip(teachers, weights, losses, strict=True)
    }
    return found | {"mixture": {"weight": 1.0, "log_loss": round(float(-np.log(chances @ weights).mean()), 4)}}


def _pairs(event: I64, session: I64, events: int) -> I64:
    """[n]: the cell of (event, what follows) of each event; what follows the last of a session is the end."""
    last = np.append(np.diff(session) != 0, True)
    return event * (events + 1) + np.where(last, events, np.append(event[1:], 0))


def _chain(pairs: I64, events: int) -> F64:
    """[E, E+1]: how likely each event, or the end, follows; what was never seen is a little likely."""
    counts = np.bincount(pairs, minlength=events * (events + 1)).reshape(events, events + 1) + _SMOOTH
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _taught(pack: Pack, behaviour: Behaviour | None, events: int) -> F64:
    """The chain of what a Behaviour (None: the prior) plays."""
    identity = RunIdentity(
        product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint, seed=1,
        users=USERS, start=datetime(2026, 1, 5, tzinfo=UTC),
    )  # fmt: skip
    simulation = Simulation(pack, identity, Shard.parse("0/1", 1), MemoryProducer(), behaviour=behaviour)
    played: dict[str, Any] = simulation.engine.play(DAYS * DAY_MS).events
    session = (played["user"].astype(np.int64) << 32) + played["session"]
    order = np.lexsort((played["sequence"], session))
    return _chain(_pairs(played["event"][order].astype(np.int64), session[order], events), events)


def _mixture(chances: F64) -> F64:
    """[teachers]: the weights under which the mixture of the teachers' chances [n, teachers] is most likely."""
    weights = np.full(chances.shape[1], 1.0 / chances.shape[1])
    for _ in range(200):
        parts = chances * weights
        found = (parts / parts.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(found - weights).max() < 1e-6:
            break
        weights = found
    return np.asarray(weights)
