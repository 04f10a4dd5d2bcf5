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
from simulator.twins.privacy import users_of

#: Sessions that are drawn: so many for each of the core's, within these bounds.
EACH, FEWEST, MOST = 3, 500, 40_000
#: How far an answer is moved at most (in nats).
FURTHEST = 0.5


def rehearsed(model: TwinModel, shape: Shape, log: Log, k: int, key: np.uint64) -> F32:
    """The straight part of the event network [D, E+1], so that drawn sessions go on, and end, as those of the log. What
    fewer than `k` users did at a place moves nothing."""
    events = len(model.words["event"])
    code, user = _answers(log, events)
    size = len(PLACES) * (events + 1)
    drawn = np.bincount(_answers(_some(model, len(log.user), key), events)[0], minlength=size)
    counts = [each.reshape(len(PLACES), -1).astype(np.float64) for each in (np.bincount(code, minlength=size), drawn)]
    moved = np.where(users_of(code, user, size).reshape(len(PLACES), -1) >= k, _apart(*counts), 0.0)
    wide: F32 = model.arrays["event.wide"].copy()
    wide[shape.first_place : shape.first_place + len(PLACES)] += moved.astype(np.float32)
    return wide


def _some(model: TwinModel, sessions: int, key: np.uint64) -> Log:
    """As many drawn sessions as are asked for, or a few more."""
    shares = model.arrays["visits.counts"]
    each = float(shares @ np.arange(1, len(shares) + 1))
    users = int(np.clip(EACH * sessions, FEWEST, MOST) / each) + 1
    return draw(model, np.arange(users), key)


def _answers(log: Log, events: int) -> tuple[I64, I64]:
    """What came after so many events, as codes of places and answers (events, or the end), and whose they are."""
    ends = np.arange(len(log.user))
    place = np.concatenate([np.arange(len(log.event)) - log.first[log.session], log.lengths])
    answer = np.concatenate([log.event, np.full(len(ends), events)])
    at: I64 = np.searchsorted(PLACES, place, side="right") - 1
    return at * (events + 1) + answer, log.user[np.concatenate([log.session, ends])]


def _apart(wanted: F64, drawn: F64) -> F64:
    """How much likelier, in nats, each answer should be at each place: what is seen, less what drawing so many
    sessions brings by chance (James, Stein 1961, each for itself)."""
    shares = [(each + 1e-9) / (each.sum(axis=1, keepdims=True) + 1e-9) for each in (wanted, drawn)]
    seen = np.log(shares[0] / shares[1])
    chance = (1 - shares[1]) / np.maximum(drawn, 1e-9)
    kept = np.maximum(1 - chance / np.maximum(seen**2, 1e-12), 0.0)
    there = (wanted > 0) & (drawn > 0)
    return np.where(there, np.clip(kept * seen, -FURTHEST, FURTHEST), 0.0)
