"""Fits a Behaviour to traces: the student. Every factor starts at a base Behaviour and moves as far as traces justify.

    moves    the next event and leaving: by situation, intent, persona and their combinations, by what came before, by
             problems, traits, tiredness and goals                                                    (see `moves`)
    picks    which item of a slate                                                                    (see `picks`)
    dwells   how long between two events                                                              (see `dwells`)
    intents  what users come for, only where the traces' sessions came about by themselves: Dirichlet around the base

How far, is estimated too, factor by factor, and told in `weights`: how many parameters were touched by traces and how
many the traces determine; the rest is the base's. Without traces the result is the base. Loading times, which are the
product's and not the user's, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from personas.randomness import F64, fold, root_key, uniform
from simulator.behaviour.contexts import Contexts, arrange, explained, unlocked
from simulator.behaviour.dwells import fit_dwells
from simulator.behaviour.model import F32, Behaviour
from simulator.behaviour.moves import MovesFit, fit_moves
from simulator.behaviour.picks import fit_picks, with_picks
from simulator.behaviour.traces import Traces
from simulator.slates import Rankings
from simulator.world import I64, World

#: So many decisions tell how far users are from the base in each way; all decisions tell where they are.
ENOUGH = 100_000
_COUNTS = np.geomspace(1.0, 1e5, 60)


@dataclass(frozen=True)
class Fitted:
    """A Behaviour fitted to traces, and how: `moves` has the effects on the next event with their posterior variances;
    `weights` tells, for each factor, how much it learnt; `unexplained` counts decisions left out because nobody may
    decide so (see `explained`)."""

    behaviour: Behaviour
    moves: MovesFit
    weights: dict[str, dict[str, float]]
    unexplained: int


def fit(
    base: Behaviour,
    traces: Traces,
    world: World,
    rankings: Rankings,
    *,
    learn_intents: bool = False,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Fitted:
    """The student of these traces. `tell` hears how many rounds are done, of how many. The same traces in the same
    order give the same bytes on the same machine: sums are made in one thread, which is also the faster way here."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return _fit(base, traces, world, rankings, learn_intents, tell)


def _fit(
    base: Behaviour, traces: Traces, world: World, rankings: Rankings, learn_intents: bool,
    tell: Callable[[int, int], None],
) -> Fitted:  # fmt: skip
    base = replace(unlocked(base, traces, world), generator="student")
    usable = explained(traces, base, world)
    sessions = np.unique(traces.session[~usable])
    if len(sessions):
        traces = traces.of_sessions(~np.isin(np.arange(traces.sessions), sessions))
    picks = fit_picks(base, traces.choices, world.pack, rankings)
    base = with_picks(base, picks, world.pack) if len(traces.choices) else base
    contexts = arrange(traces, base, world)
    spreads = _spreads(base, traces, world) if len(traces) > ENOUGH else None
    moves = fit_moves(contexts, tell, spreads)
    dwells = fit_dwells(base.dwell, traces)
    learnt = replace(with_moves(base, moves, contexts, world), dwell=dwells.dwell if dwells.count.any() else base.dwell)
    weights: dict[str, dict[str, float]] = {
        name: {"touched": block.touched, "determined": block.determined, "spread": block.spread}
        for name, block in moves.blocks.items()
    }
    seen = int((np.bincount(traces.choices.shown[traces.choices.shown >= 0]) > 0).sum()) if len(traces.choices) else 0
    weights["items"] = {"touched": seen, "determined": picks.determined, "spread": picks.spread}
    if len(base.places) > 1:
        reached = _steps_shown(traces)
        weights["places"] = {
            "touched": reached, "determined": picks.place_determined, "spread": picks.place_spread,
        }  # fmt: skip
    touched = int((dwells.count > 0).sum())
    weights["dwell"] = {
        "touched": touched,
        "determined": _share(dwells.count, dwells.prior_count),
        "spread": dwells.move,
    }
    if learn_intents:
        table, count, concentration = _intents(base.intents, traces)
        learnt = replace(learnt, intents=table)
        determined = _share(count, concentration)
        weights["intents"] = {"touched": len(count), "determined": determined, "spread": concentration**-0.5}
    return Fitted(learnt, moves, weights, len(usable) - len(traces))


def _spreads(base: Behaviour, traces: Traces, world: World) -> dict[str, float]:
    """The spread of each block, from about ENOUGH decisions in sessions drawn by a hash."""
    drawn = uniform(fold(root_key("spreads"), np.arange(traces.sessions)))
    some = traces.of_sessions(drawn < ENOUGH / len(traces))
    return {name: block.spread for name, block in fit_moves(arrange(some, base, world)).blocks.items()}


def with_moves(base: Behaviour, found: MovesFit, contexts: Contexts, world: World) -> Behaviour:
    """The base with the effects of the fit in its tables."""
    effects = {name: block.effects for name, block in found.blocks.items()}
    total = _added_up(effects, _screens(world))
    total -= np.einsum("pt,te->pe", contexts.middle, effects["traits"])[:, None, None, :]
    next_event: F32 = (base.next_event * np.exp(total)).astype(np.float32)
    after, reaction = base.after.copy(), base.reaction.copy()
    after[:-1] *= np.exp(effects["after"])
    reaction[:-1] *= np.exp(effects["reaction"])
    goal: F32 = (base.leave_after_goal * np.exp(effects["leave after goal"])).astype(np.float32)
    return replace(
        base,
        next_event=next_event,
        after=after,
        reaction=reaction,
        traits=base.traits + effects["traits"],
        leave_after_goal=goal,
        fatigue=base.fatigue + float(effects["fatigue"]),
    )


def _screens(world: World) -> I64:
    """[S]: the screen of each situation."""
    return np.array([world.situations.split(number)[0] for number in sorted(world.situations.moves)])


def _added_up(of: dict[str, F64], screens: I64) -> F64:
    """[P, G, S, E+1]: the sums over the blocks that `next_event` takes in."""
    return np.asarray(
        of["persona, intent, situation"]
        + of["persona, situation"][:, None]
        + of["intent, situation"][None]
        + of["persona, screen"][:, screens][:, None]
        + of["intent, screen"][:, screens][None]
        + of["persona, intent"][:, :, None]
        + of["persona"][:, None, None]
        + of["intent"][None, :, None]
        + (of["event"] + of["screen"][screens] + of["situation"])[None, None]
    )


def _steps_shown(traces: Traces) -> int:
    """How many steps from one place of a slate to the next were shown."""
    return max(int((traces.choices.shown >= 0).any(axis=0).sum()) - 1, 0) if len(traces.choices) else 0


def _share(count: F64, prior_count: float) -> float:
    """How many of the distributions are the traces' own, when the base counts for `prior_count` traces in each."""
    return float((count / (count + prior_count)).sum())


def _intents(base: F64, traces: Traces) -> tuple[F64, F64, float]:
    """Posterior shares of the intents by persona, traces by persona, and the pseudo-count of the base under which the
    traces are likeliest (Dirichlet-multinomial)."""
    from scipy.special import gammaln

    first = traces.events == 0
    counts = np.zeros(base.shape)
    np.add.at(counts, (traces.persona[first], traces.intent[first]), 1.0)
    possible = np.where((base <= 0) & (counts > 0), 1e-3, base)
    possible = possible / possible.sum(axis=1, keepdims=True)
    likelihood = []
    for k in _COUNTS.tolist():
        alpha = np.where(possible > 0, k * possible, 1.0)
        cells = np.where(possible > 0, gammaln(alpha + counts) - gammaln(alpha), 0.0).sum()
        likelihood.append(float(cells + (gammaln(k) - gammaln(k + counts.sum(axis=1))).sum()))
    best = float(_COUNTS[int(np.argmax(likelihood))])
    table = best * possible + counts
    return table / table.sum(axis=1, keepdims=True), counts.sum(axis=1), best


def report_of(fitted: Fitted) -> dict[str, Any]:
    """How much each factor learnt, rounded, for lineage and people."""
    return {
        name: {key: round(value, 4) for key, value in told.items()} for name, told in sorted(fitted.weights.items())
    }
