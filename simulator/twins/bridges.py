"""What has to happen first: for every situation and event that is not legal there, the event that leads towards it.

A twin's session was learnt from people; a pack may demand what they never logged (a list before an item of it). Such a
gap is bridged by events of the pack, as few and as harmless as can be: never the conversion, never what only a problem
causes, putting into a bag or reaching another goal only where nothing else helps. Where levels of counters leave open
to which situation an event leads, the worst is reckoned with. Knows no session.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.twins.log import I64
from simulator.world import ITEM_OF_CATALOG, ITEM_OF_SLATE, NO_BAG, World

#: No more events than this are put between two of a twin's.
LONGEST = 10
_FAR = 1_000.0
_PLAIN, _BAG, _GOAL = 1.0, 2.5, 4.0
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bridges:
    """`first` [S, E]: the event to do in a situation so that another becomes legal (-1: none, or it is legal already),
    `length` [S, E]: how many until it is. `view` and `show` [S]: the same towards an event that takes an item of its
    own (from a slate or the catalogue), and towards one that shows a slate; in a situation where such an event is
    legal, it is that event. Their lengths count it."""

    first: I64
    length: I64
    view: I64
    view_length: I64
    show: I64
    show_length: I64


def build_bridges(world: World) -> Bridges:
    """The bridges of a product."""
    edges = _edges(world)
    cost, length, first = _ways(world, edges)
    views = np.isin(world.item, (ITEM_OF_SLATE, ITEM_OF_CATALOG)) & _free(world)
    shows = (world.slate >= 0) & ~world.next_page & _free(world)
    view, view_length = _towards(world, cost, length, first, views)
    show, show_length = _towards(world, cost, length, first, shows)
    return Bridges(first, length, view, view_length, show, show_length)


def _free(world: World) -> npt.NDArray[np.bool_]:
    """Events that may be put in: people do them by will, and they are not what the product lives on."""
    will = np.array([event.weight > 0 for event in world.pack.product.events.values()])
    will[world.conversion if world.conversion >= 0 else slice(0, 0)] = False
    return will


def _edges(world: World) -> list[tuple[int, int, list[int], float]]:
    """(situation, event, situations that it may lead to, its price) of every free event, in rows of `legal`."""
    free, goals = _free(world), set(world.goal.tolist())
    price = np.where(world.bag == NO_BAG, _PLAIN, _BAG)
    price = np.where([event in goals for event in range(len(price))], np.maximum(price, _GOAL), price)
    names = list(world.pack.product.events)
    found = []
    for situation, moves in world.situations.moves.items():
        for name, targets in moves.items():
            event = names.index(name)
            if free[event] and world.legal[world.row_of[situation], event]:
                rows = [int(world.row_of[target]) for target in targets]
                found.append((int(world.row_of[situation]), event, rows, float(price[event])))
    return sorted(found, key=lambda edge: edge[:2])


def _ways(
    world: World, edges: list[tuple[int, int, list[int], float]]
) -> tuple[F64, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The least price [S, E] of making each event legal, how many events that takes, and the first of them: relaxed
    until nothing changes (Bellman 1958), each move as bad as the worst place that it can lead to."""
    cost = np.where(world.legal[:, :-1], 0.0, _FAR)
    length = np.where(world.legal[:, :-1], 0, LONGEST + 1)
    first = np.full(cost.shape, -1, dtype=np.int64)
    for _ in range(LONGEST):
        before, steps = cost.copy(), length.copy()
        for situation, event, targets, price in edges:
            via = price + before[targets].max(axis=0)
            better = via < np.minimum(cost[situation], _FAR)
            cost[situation, better] = via[better]
            length[situation, better] = 1 + steps[targets].max(axis=0)[better]
            first[situation, better] = event
        if (cost == before).all():
            break
    return cost, length, first


def _towards(world: World, cost: F64, length: I64, first: I64, wanted: npt.NDArray[np.bool_]) -> tuple[I64, I64]:
    """Towards the nearest of several events; of those that are legal, the heaviest."""
    rows = np.arange(len(cost))
    if not wanted.any():
        return np.full(len(cost), -1, dtype=np.int64), np.full(len(cost), LONGEST + 1, dtype=np.int64)
    weight = np.array([event.weight for event in world.pack.product.events.values()])
    order = np.where(wanted[None, :], cost - 1e-3 * weight / max(weight.max(), 1.0), 2 * _FAR)
    best = order.argmin(axis=1)
    far = cost[rows, best] >= _FAR
    step = np.where(cost[rows, best] == 0, best, first[rows, best])
    return np.where(far, -1, step), np.where(far, LONGEST + 1, length[rows, best] + 1)
