"""Rehearsal: sessions are drawn before a model is finished, and what happens at each place in them is set right by what
happens there in the core.

A network is learnt on real histories and played on its own. What those lack of real ones (who goes on for long has
other items behind them) makes small mistakes, always to the same side: on a shop's log, sessions of twins ended 6 %
too often from the fifteenth event on, and were 2 % too short.

Weighed against learning on drawn histories (scheduled sampling; Bengio et al. 2015, NeurIPS): what really followed a
history that nobody had is unknown there.
"""

from __future__ import annotations

import numpy as np

from personas.randomness import F64
from simulator.twins.descent import F32
from simulator.twins.draw import draw
from simulator.twins.history import PLACES, Shape
from simulator.twins.log import I64, Log
from simulator.twins.model import TwinModel

#: Sessions that are drawn: so many for each of the core's, within these bounds.
EACH, FEWEST, MOST = 3, 500, 40_000
#: How far an answer is moved at most (in nats).
FURTHEST = 0.5


def rehearsed(model: TwinModel, shape: Shape, log: Log, key: np.uint64) -> F32:
    """The straight part of the event network [D, E+1], so that drawn sessions go on, and end, as those of the log."""
    events = len(model.words["event"])
    wanted = _happened(log, events)
    drawn = _happened(_some(model, len(log.user), key), events)
    wide: F32 = model.arrays["event.wide"].copy()
    wide[shape.first_place : shape.first_place + len(PLACES)] += _apart(wanted, drawn).astype(np.float32)
    return wide


def _some(model: TwinModel, sessions: int, key: np.uint64) -> Log:
    """As many drawn sessions as are asked for, or a few more."""
    shares = model.arrays["visits.counts"]
    each = float(shares @ np.arange(1, len(shares) + 1))
    users = int(np.clip(EACH * sessions, FEWEST, MOST) / each) + 1
    return draw(model, np.arange(users), key)


def _happened(log: Log, events: int) -> F64:
    """[PLACES, E+1]: how often each event, or the end, came after so many."""
    length = log.lengths
    place = np.concatenate([np.arange(len(log.event)) - log.first[log.session], length])
    answer = np.concatenate([log.event, np.full(len(length), events)])
    at: I64 = np.searchsorted(PLACES, place, side="right") - 1
    width = events + 1
    return np.bincount(at * width + answer, minlength=len(PLACES) * width).reshape(-1, width).astype(np.float64)


def _apart(wanted: F64, drawn: F64) -> F64:
    """How much likelier, in nats, each answer should be at each place: what is seen, less what drawing so many
    sessions brings by chance (James, Stein 1961, each for itself)."""
    shares = [(each + 1e-9) / (each.sum(axis=1, keepdims=True) + 1e-9) for each in (wanted, drawn)]
    seen = np.log(shares[0] / shares[1])
    chance = (1 - shares[1]) / np.maximum(drawn, 1e-9)
    kept = np.maximum(1 - chance / np.maximum(seen**2, 1e-12), 0.0)
    there = (wanted > 0) & (drawn > 0)
    return np.where(there, np.clip(kept * seen, -FURTHEST, FURTHEST), 0.0)
