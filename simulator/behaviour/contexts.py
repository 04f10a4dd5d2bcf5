"""Traces arranged for the fit of the next event: rows that share all that is discrete share a context.

A context is a persona, intent, situation, event before, problem, whether the goal was reached and whether anything has
happened yet. It has at most K moves that are legal and that the base gives a weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from simulator.behaviour.model import F32, Behaviour
from simulator.behaviour.traces import Traces, legal_moves, tiredness
from simulator.world import BAG_ADD, I64, World

#: A move that the base gives no weight, and that was made all the same, starts from this share of the weights around.
UNLOCKED = 1e-3


@dataclass(frozen=True)
class Contexts:
    """N rows, sorted by context, of U contexts. Per context: `column` [U, K] the moves (-1: none), `offset` [U, K] the
    logarithm of the base's weights, without traits and tiredness (-inf: no move), `is_bag` where the weight is
    multiplied by the appeal of the item in focus, `keys` what it is (screen included; problem -1: none; last -1:
    nothing before), `reached`. Per row: `order` its place in the traces, `context`, `chosen` (a place among the moves),
    `weight`, `features` [N, T], logarithms of `tired` and `appeal`. `middle` [P, T] is where features are counted from,
    `traits` and `fatigue` are the base's; `sizes` are those of the keys, `moves` E + 1."""

    middle: F64
    traits: F64
    order: I64
    context: I64
    chosen: I64
    weight: F64
    features: F64
    tired: F64
    appeal: F64
    column: I64
    offset: F64
    is_bag: npt.NDArray[np.bool_]
    reached: npt.NDArray[np.bool_]
    keys: dict[str, I64]
    sizes: dict[str, int]
    moves: int
    fatigue: float


def arrange(traces: Traces, base: Behaviour, world: World) -> Contexts:
    """Arrange traces of which every row is explained (see `explained`)."""
    personas, intents, situations, moves = base.next_event.shape
    keys = {
        "persona": traces.persona.astype(np.int64),
        "intent": traces.intent.astype(np.int64),
        "situation": traces.situation.astype(np.int64),
        "last": traces.last.astype(np.int64),
        "problem": traces.problem.astype(np.int64),
    }
    reached, first = traces.reached, traces.events == 0
    shape = (personas, intents, situations, moves, len(base.reaction), 2, 2)
    codes = np.ravel_multi_index(
        (*list(keys.values())[:4], keys["problem"] + 1, reached.astype(np.int64), first.astype(np.int64)), shape
    )
    _, example, context = np.unique(codes, return_index=True, return_inverse=True)
    weights, legal = _weights(traces, example, base, world)
    widest = int(legal.sum(axis=1).max(initial=1))
    column = np.argsort(~legal, axis=1, kind="stable")[:, :widest]
    there = np.take_along_axis(legal, column, axis=1)
    logs = np.log(np.where(legal, weights, 1.0))
    middle = trait_middle(traces, personas)
    logs += np.einsum("pt,te->pe", middle, base.traits)[traces.persona[example]]
    logs = np.take_along_axis(logs, column, axis=1)
    column = np.where(there, column, -1)
    order = np.argsort(context, kind="stable")
    context = context[order]
    chosen = (column[context] == traces.event[order].astype(np.int64)[:, None]).argmax(axis=1)
    focus, level = traces.focus[order], traces.level[order].astype(np.int64)
    appeal = np.where(focus >= 0, base.appeal[level, np.maximum(focus, 0)], 1.0).astype(np.float64)
    of_context = {name: key[example] for name, key in keys.items()}
    of_context["last"] = np.where(of_context["last"] < moves - 1, of_context["last"], -1)
    screens = np.array([world.situations.split(number)[0] for number in sorted(world.situations.moves)])
    return Contexts(
        middle=middle,
        traits=base.traits,
        order=order,
        context=context,
        chosen=chosen,
        weight=traces.weight[order].astype(np.float64),
        features=_features(traces, middle)[order],
        tired=tiredness(traces)[order],
        appeal=np.log(np.maximum(appeal, 1e-12)),
        column=column,
        offset=np.where(there, logs, -np.inf),
        is_bag=np.append(world.bag == BAG_ADD, False)[column] & there,
        reached=reached[example],
        keys=of_context | {"screen": screens[of_context["situation"]]},
        sizes={
            "persona": personas,
            "intent": intents,
            "situation": situations,
            "screen": len(world.situations.screens),
            "last": len(base.after) - 1,
            "problem": len(base.reaction) - 1,
            "trait": len(base.traits),
        },
        moves=moves,
        fatigue=base.fatigue,
    )


def trait_middle(traces: Traces, personas: int) -> F64:
    """[P, T] the mean of 2 trait - 1 over the traces of each persona (0 where there are none). Effects of traits are
    counted from there, so that they and the effects of the persona do not stand in for each other."""
    count = np.maximum(np.bincount(traces.persona, minlength=personas), 1)
    doubled = 2.0 * traces.traits.astype(np.float64) - 1.0
    sums = [np.bincount(traces.persona, column, minlength=personas) for column in doubled.T]
    return np.stack(sums, axis=1) / count[:, None] if sums else np.zeros((personas, 0))


def _features(traces: Traces, middle: F64) -> F64:
    return np.asarray(2.0 * traces.traits.astype(np.float64) - 1.0 - middle[traces.persona])


def _weights(traces: Traces, rows: I64, base: Behaviour, world: World) -> tuple[F64, npt.NDArray[np.bool_]]:
    """[U, E+1] the base's weights without traits, items and tiredness, and which moves there are."""
    weight = base.next_event[traces.persona[rows], traces.intent[rows], traces.situation[rows]].astype(np.float64)
    weight *= base.after[traces.last[rows]]
    weight *= base.reaction[traces.problem[rows]]
    weight[:, -1] *= np.where(traces.reached[rows], base.leave_after_goal[traces.intent[rows]], 1.0)
    legal = world.legal[traces.situation[rows]] & (weight > 0)
    legal[traces.events[rows] == 0, -1] = False
    return weight, legal


def explained(traces: Traces, base: Behaviour, world: World) -> npt.NDArray[np.bool_]:
    """[N]: whether what was decided is legal and has a weight in the base (that was unlocked)."""
    row = np.arange(len(traces))
    event = traces.event.astype(np.int64)
    weight = base.next_event[traces.persona, traces.intent, traces.situation, event]
    weight = weight * base.after[traces.last, event] * base.reaction[traces.problem, event]
    return np.asarray((weight > 0) & legal_moves(traces, world.legal)[row, event])


def unlocked(base: Behaviour, traces: Traces, world: World) -> Behaviour:
    """The base with a small weight for each legal move that it gives none and that was made all the same. Events that
    only a problem causes stay as they are: nobody decides for them."""
    events = world.pack.product.events.values()
    willing = np.append([event.weight > 0 for event in events], True)
    event = traces.event.astype(np.int64)
    made = np.zeros(base.next_event.shape[1:], dtype=bool)
    made[traces.intent, traces.situation, event] = True
    made &= world.legal[None] & willing
    least = UNLOCKED * base.next_event.max(axis=3, keepdims=True)
    least = np.where(least > 0, least, UNLOCKED).astype(np.float32)
    return replace(
        base,
        next_event=np.where(made[None] & (base.next_event <= 0), least, base.next_event),
        after=_opened(base.after, traces.last, event),
        reaction=_opened(base.reaction, traces.problem, event),
    )


def _opened(table: F32, given: npt.NDArray[np.int16], event: I64) -> F32:
    seen = np.zeros(table.shape, dtype=bool)
    seen[given, event] = True
    return np.where(seen & (table <= 0), np.float32(UNLOCKED), table)
