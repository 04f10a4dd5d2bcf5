"""How much each teacher knows of the core: what personas declare (prior), what a student was taught, the core itself.

Each teacher says how likely every event, or the end, follows each other one. A tenth of the core's users, chosen by
hash, whom the core's own teacher has not seen, judge: the log-loss of each teacher, and the weights of the mixture that
explains them best (maximum likelihood by expectation maximisation, Dempster, Laird, Rubin 1977). With few users much of
the weight is the prior's; it fades as they come. Told in the lineage. What the twin model
itself takes from them is decided in `posterior`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.pack import Pack
from personas.randomness import fold, root_key, uniform
from simulator.twins.log import I64, Log, log_of

F64 = npt.NDArray[np.float64]
HELD_OUT = 0.1
_SMOOTH = 0.1


def evidence_of(table: pa.Table, pack: Pack, others: Mapping[str, Log]) -> dict[str, dict[str, float]]:
    """For each teacher `weight` (they add up to 1) and `log_loss` (nats an event, held-out users of the core). The
    events of the table, and of the `others`' logs, are the pack's. Empty where too few users are held out to tell."""
    log = log_of(table)
    events = list(pack.product.events)
    code = np.array([events.index(word) for word in log.words["event"]], dtype=np.int64)[log.event]
    pairs = _pairs(code, log.session, len(events))
    judges = (uniform(fold(root_key("evidence"), np.arange(log.users))) < HELD_OUT)[log.user[log.session]]
    if judges.sum() < 20 or judges.all():
        return {}
    teachers = {"core": _chain(pairs[~judges], len(events))}
    teachers |= {name: _chain(_pairs(log.event, log.session, len(events)), len(events)) for name, log in others.items()}
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
