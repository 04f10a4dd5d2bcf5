"""Which visits to pay for: those that take away most uncertainty per dollar.

A kind of visit is a persona, an intent, and calm or trouble. The student's uncertainty is the variance of the chances
of the next event, expected over the decisions of a run: each effect j of the fit (see `simulator.behaviour.moves`),
with posterior variance v, adds to it W x v, where

    W(j)       = share of the run's decisions x (p (1 - p))^2, summed over the moves that the effect is part of
    H(kind, j) = p (1 - p), summed over the same moves in one visit of the kind: the information that it brings on j

After n visits the variance is 1 / (1 / v + n H), so one visit more is worth the sum over all effects of

    W x (v - 1 / (1 / v + H))

Visits are taken for worth / cost, one lot after another, and each lot makes v smaller (diminishing returns make such
greed nearly the best there is: Nemhauser, Wolsey, Fisher 1978). It is Bayesian A-optimality (Chaloner, Verdinelli 1995,
Statistical Science 10), or choosing by the expected reduction of variance (Cohn, Ghahramani, Jordan 1996, JAIR 4), with
the diagonal of the curvature in place of all of it. H and the shares come from visits that the student itself plays,
which costs nothing; cost is the expected number of decisions, each at the mean price so far.

The other way that was tried: each cell (persona, intent, situation) by itself, as a Dirichlet distribution. It was
worse than visits as they come, because it does not see that what is learnt in one cell is known in others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from simulator.behaviour.contexts import arrange
from simulator.behaviour.fit import Fitted
from simulator.behaviour.moves import BLOCKS, Design
from simulator.behaviour.traces import Traces
from simulator.teach.predicting import next_event_chances
from simulator.teach.walks import Room, Tables, Visits, next_users, visit
from simulator.world import I64

#: Visits played for each kind to see where they lead, and lots in which decisions are given out.
SAMPLE, LOTS = 24, 24


@dataclass(frozen=True)
class Kinds:
    """K kinds of visits: `persona`, `intent`, `troubled`, their expected `length` in decisions and share of the
    `traffic` of a run; `information` [K, J] that one visit brings on each effect. By effect: `weight` W, `variance` v.
    """

    persona: I64
    intent: I64
    troubled: npt.NDArray[np.bool_]
    length: F64
    traffic: F64
    information: F64
    weight: F64
    variance: F64


def survey(room: Room, fitted: Fitted) -> Kinds:
    """What each kind of visit would bring, judged by visits that the student plays."""
    pairs = np.argwhere(fitted.behaviour.intents > 0)
    pairs = np.concatenate([pairs, pairs])
    troubled = np.arange(len(pairs)) >= len(pairs) // 2
    sample, kind = _sample(room, pairs, troubled)
    traces, users = visit(room, sample, Tables(fitted.behaviour))
    kind_of = np.zeros(len(room.population), dtype=np.int64)
    kind_of[sample.user] = kind
    of_session = kind_of[users]
    count = np.maximum(np.bincount(of_session, minlength=len(pairs)), 1)
    of = of_session[traces.session]
    length = np.bincount(of, minlength=len(pairs)) / count
    people = room.population
    rate = np.bincount(people.persona, people.sessions_per_week, minlength=len(room.pack.personas))
    traffic = rate[pairs[:, 0]] * fitted.behaviour.intents[pairs[:, 0], pairs[:, 1]] * ~troubled
    traffic /= traffic.sum()
    per_row = 1.0 / count[of]
    share = (traffic / max(float((traffic * length).sum()), 1e-12))[of] * per_row
    information, weight, variance = _information(room, fitted, traces, of, per_row, share)
    return Kinds(pairs[:, 0], pairs[:, 1], troubled, length, traffic, information, weight, variance)


def _information(
    room: Room, fitted: Fitted, traces: Traces, kind: I64, per_row: F64, share: F64
) -> tuple[F64, F64, F64]:
    """H, W and v over the effects that any of the traces touches."""
    from scipy.sparse import csr_array

    contexts = arrange(traces, fitted.behaviour, room.world)
    design = Design(contexts)
    chances = next_event_chances(traces, fitted.behaviour, room.world)[contexts.order]
    columns = contexts.column[contexts.context]
    chance = np.where(columns >= 0, np.take_along_axis(chances, np.maximum(columns, 0), axis=1), 0.0)
    doubt = chance * (1.0 - chance)
    row, place = np.nonzero(columns >= 0)
    move = design.move[contexts.context[row], place]
    of, kinds = kind[contexts.order], int(kind.max(initial=0)) + 1
    known = (doubt * per_row[contexts.order][:, None])[row, place]
    counted = (doubt**2 * share[contexts.order][:, None])[row, place]
    by_kind = csr_array((known, (of[row], move)), shape=(kinds, design.design.shape[0]))
    information = (by_kind @ design.design).toarray()
    weight = np.bincount(move, counted, minlength=design.design.shape[0]) @ design.design
    part, event = design.part["traits"], columns[row, place]
    for trait in range(contexts.features.shape[1]):
        squared = contexts.features[row, trait] ** 2
        places = slice(part.start + trait * contexts.moves, part.start + (trait + 1) * contexts.moves)
        weight[places] = np.bincount(event, counted * squared, minlength=contexts.moves)
        each = np.bincount(of[row] * contexts.moves + event, known * squared, minlength=kinds * contexts.moves)
        information[:, places] = each.reshape(kinds, contexts.moves)
    blocks = fitted.moves.blocks
    variance = np.concatenate([blocks[name].uncertainty.ravel()[design.codes[name]] for name in BLOCKS])
    return information, np.asarray(weight), variance


def _sample(room: Room, pairs: I64, troubled: npt.NDArray[np.bool_]) -> tuple[Visits, I64]:
    """SAMPLE visits of each kind, as far as there are users, and the kind of each."""
    parts, kinds = [], []
    used = np.zeros(len(room.population), dtype=bool)
    for number, (persona, intent) in enumerate(pairs.tolist()):
        users = next_users(room, used, SAMPLE, persona)
        used[users] = True
        parts.append(Visits(users, np.full(len(users), intent), np.full(len(users), troubled[number])))
        kinds.append(np.full(len(users), number, dtype=np.int64))
    return Visits.join(parts), np.concatenate(kinds)


def allot(kinds: Kinds, decisions: float, most: int, room_for: I64) -> I64:
    """[K]: how many visits of each kind to pay for, when so many decisions can be paid; at most `most` visits in all,
    and `room_for` [P] of a persona."""
    chosen = np.zeros(len(kinds.length), dtype=np.int64)
    precision, left, users = 1.0 / kinds.variance, decisions, room_for.copy()
    cost = np.maximum(kinds.length, 1e-12)
    while left > 0 and most > 0:
        gain = (kinds.weight * (1.0 / precision - 1.0 / (precision + kinds.information))).sum(axis=1) / cost
        gain[(users[kinds.persona] <= 0) | (cost > left * 1.5)] = -1.0
        best = int(np.argmax(gain))
        if gain[best] < 0:
            break
        number = int(min(max(1, decisions / LOTS / cost[best]), users[kinds.persona[best]], most))
        chosen[best] += number
        most -= number
        users[kinds.persona[best]] -= number
        precision = precision + number * kinds.information[best]
        left -= number * cost[best]
    return chosen
