"""The states that a session can be in, and the moves between them: what the expected session is computed over.

A state is what the engine's next-event weights depend on: screen and counters (exactly, as far as a threshold can ever
be crossed), and which factors the event and the problem before left behind. Two ways were weighed: the product's
situations (fewer, but their levels blur how full a bag is), or exact counters. Knows no personas and no weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import F64
from simulator.behaviour.model import Behaviour
from simulator.world import BAG, BAG_ADD, BAG_EMPTY, BAG_REMOVE, FOCUS, I64, NO_ITEM, PAGE, SHOWN, World

Move = tuple[Any, ...]


@dataclass(frozen=True)
class Edges:
    """Moves between states: row numbers of states in `source` and `target` (-1: the session ends), what was attempted
    and what happened, which problem struck (-1: none), and how likely that was given the attempt."""

    source: I64
    target: I64
    attempt: I64
    happens: I64
    problem: I64
    chance: F64


@dataclass(frozen=True)
class Chain:
    """All states that can come up. `kind` is the row of `factors` [kinds, E+1] that the event before left behind."""

    situation: I64
    screen: I64
    focused: npt.NDArray[np.bool_]
    kind: I64
    factors: npt.NDArray[np.float32]
    edges: Edges


def explore(world: World, behaviour: Behaviour) -> Chain:
    """All states and moves, found step by step from the start, a whole frontier at a time."""
    kinds, kind_of = _kinds(behaviour)
    alike = _alike(world, kinds)
    situations = world.situations
    counters = len(situations.counters)
    start = np.zeros((1, counters + 2), dtype=np.int64)
    start[0, 0] = situations.screens.index(situations.product.start)
    start[0, -1] = kind_of[-1, -1]
    base = np.concatenate([[len(situations.screens)], world.limit + 1, [len(kinds)]])
    base = np.minimum(base, 4096)
    place = np.cumprod(np.concatenate([[1], base[:0:-1]]))[::-1]
    known, frontier = start @ place, start
    states, parts = [start], []
    while len(frontier):
        moves = list(_moves(world, frontier, kind_of))
        for target, *_ in moves:
            target[:, -1] = alike[world.situation(target[:, 0], target[:, 1:-1]), target[:, -1]]
        found = np.concatenate([move[0] for move in moves]) if moves else frontier[:0]
        codes = found @ place
        here = frontier @ place
        parts += [(here[rows], target @ place, alive, *rest) for target, rows, alive, *rest in moves]
        fresh, first = np.unique(codes, return_index=True)
        new = ~np.isin(fresh, known)
        frontier = found[first[new]]
        known = np.concatenate([known, fresh[new]])
        states.append(frontier)
    everything = np.concatenate(states)
    order = np.argsort(known, kind="stable")
    sorted_codes = known[order]

    def row(code: I64) -> I64:
        return np.asarray(order[np.searchsorted(sorted_codes, code)])

    joined: list[Any] = [np.concatenate([part[k] for part in parts]) for k in range(7)]
    edges = Edges(row(joined[0]), np.where(joined[2], row(joined[1]), -1), *joined[3:])
    return Chain(
        situation=world.situation(everything[:, 0], everything[:, 1:-1]),
        screen=everything[:, 0],
        focused=everything[:, 1 + FOCUS] > 0,
        kind=everything[:, -1],
        factors=kinds,
        edges=edges,
    )


def _kinds(behaviour: Behaviour) -> tuple[npt.NDArray[np.float32], I64]:
    """The different rows of factors that an event (or nothing) and a problem (or none) leave behind: [kinds, E+1], and
    which of them each pair [E+1, M+1] leaves."""
    pairs = behaviour.after[:, None, :] * behaviour.reaction[None, :, :]
    kinds, inverse = np.unique(pairs.reshape(-1, pairs.shape[2]), axis=0, return_inverse=True)
    return kinds, np.asarray(inverse).reshape(pairs.shape[:2])


def _alike(world: World, kinds: npt.NDArray[np.float32]) -> I64:
    """[situations, kinds]: the first kind that differs in nothing that is legal in the situation, so that states which
    differ in nothing that matters are one."""
    result = np.empty((len(world.legal), len(kinds)), dtype=np.int64)
    for row, legal in enumerate(world.legal):
        _, first, inverse = np.unique(kinds[:, legal], axis=0, return_index=True, return_inverse=True)
        result[row] = first[np.asarray(inverse).ravel()]
    return result


def _moves(world: World, states: I64, kind_of: I64) -> Iterator[Move]:
    """Everything that can happen in the given states: (target state, row, alive, attempt, happens, problem, chance)."""
    situation = world.situation(states[:, 0], states[:, 1:-1])
    for attempt, event in enumerate(world.pack.product.events.values()):
        rows = np.flatnonzero(world.legal[situation, attempt]) if event.weight > 0 else np.zeros(0, dtype=np.int64)
        if not len(rows):
            continue
        declared = world.problem_rate[attempt] * world.problem_legal[situation[rows]]
        for problem in range(-1, declared.shape[1]):
            chance = 1.0 - declared.sum(axis=1) if problem < 0 else declared[:, problem]
            there = np.flatnonzero(chance > 0)
            if not len(there):
                continue
            happens = attempt
            if problem >= 0 and world.problem_emits[problem] >= 0:
                happens = int(world.problem_emits[problem])
            struck = problem >= 0
            target = _after(world, states[rows[there]], happens, empty=bool(struck and world.problem_empties[problem]))
            target[:, -1] = kind_of[happens, problem]
            alive = np.full(len(there), not (struck and world.problem_ends[problem]))
            same = [np.full(len(there), value) for value in (attempt, happens, problem)]
            yield target, rows[there], alive, *same, chance[there]


def _after(world: World, states: I64, event: int, *, empty: bool) -> I64:
    """The states after an event, as the engine changes them. Counters without a threshold stay 0: nothing asks."""
    after, thresholds = states.copy(), world.situations.thresholds
    counters = after[:, 1:-1]
    bag = world.bag[event]
    counters[:, BAG] += {BAG_ADD: 1, BAG_REMOVE: -1}.get(int(bag), 0)
    if bag == BAG_EMPTY:
        counters[:, BAG] = 0
    slate = world.slate[event]
    if slate >= 0:
        size = list(world.pack.product.slates.values())[slate].size
        counters[:, PAGE] = counters[:, PAGE] + 1 if world.next_page[event] else 0
        counters[:, SHOWN] = 0 if empty else size
    counters += world.change[event]
    counters[:, world.clear[event]] = 0
    np.clip(counters, 0, world.limit, out=counters)
    if world.item[event] != NO_ITEM:
        counters[:, FOCUS] = 1
    for column, cuts in enumerate(thresholds):
        if not cuts:
            counters[:, column] = 0
        elif column == SHOWN:
            levels = np.array((0, *cuts))
            counters[:, column] = levels[np.searchsorted(levels, counters[:, column], side="right") - 1]
    if world.to[event] >= 0:
        after[:, 0] = world.to[event]
    return after
