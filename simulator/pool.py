"""The pool: the state of all sessions in flight, one row each. Plain arrays; the engine and the problems write them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import F64, U64
from simulator.world import I64, World


@dataclass
class Pool:
    """Sessions in flight. `user` is the user's row in the population; `clock`, `started`, `ended` are milliseconds
    after the start of the run (`ended`: the latest event); `counters` [n, counters] (see `world`); `shown` [n, widest]
    the items on the screen; `focus` an item or -1; `last` the event before (E: none); `problem` the one that struck
    at the event before, or -1; `weight` the importance weight so
    far; `over`: the session ends here, whatever comes next; `outcome`: how its chooser ended it (0: it has not)."""

    user: I64
    key: U64
    clock: I64
    started: I64
    ended: I64
    screen: I64
    counters: I64
    events: I64
    intent: I64
    category: I64
    last: I64
    problem: I64
    focus: I64
    position: I64
    slate: I64
    shown: npt.NDArray[np.int32]
    bag_items: npt.NDArray[np.int32]
    bag_cents: I64
    items: I64
    reached: npt.NDArray[np.bool_]
    converted: npt.NDArray[np.bool_]
    value_cents: I64
    dissatisfaction: F64
    weight: F64
    over: npt.NDArray[np.bool_]
    outcome: I64

    @classmethod
    def start(cls, user: I64, world: World) -> Pool:
        """A pool of the given users; every row still has to `begin`."""
        count, product = len(user), world.pack.product
        widest = max((slate.size for slate in product.slates.values()), default=1)
        zeros: dict[str, Any] = {}
        for field in fields(cls):
            kind: Any = np.int64
            if field.name in ("reached", "converted", "over"):
                kind = np.bool_
            elif field.name in ("dissatisfaction", "weight"):
                kind = np.float64
            elif field.name == "key":
                kind = np.uint64
            zeros[field.name] = np.zeros(count, dtype=kind)
        zeros["user"] = user.astype(np.int64)
        zeros["counters"] = np.zeros((count, len(world.situations.counters)), dtype=np.int64)
        zeros["shown"] = np.full((count, widest), -1, dtype=np.int32)
        zeros["bag_items"] = np.full((count, product.bag_size), -1, dtype=np.int32)
        return cls(**zeros)

    def __len__(self) -> int:
        return len(self.user)

    def begin(self, rows: I64, key: U64, clock: I64, intent: I64, world: World) -> None:
        """Put the rows at the beginning of a session."""
        zeros = ("counters", "events", "position", "slate", "bag_cents", "items", "value_cents", "dissatisfaction")
        for name in (*zeros, "outcome"):
            getattr(self, name)[rows] = 0
        self.key[rows], self.intent[rows], self.weight[rows] = key, intent, 1.0
        self.clock[rows] = self.started[rows] = self.ended[rows] = clock
        self.screen[rows] = world.situations.screens.index(world.pack.product.start)
        self.last[rows] = len(world.situations.events)
        self.problem[rows] = self.focus[rows] = -1
        self.shown[rows], self.bag_items[rows] = -1, -1
        self.reached[rows] = self.converted[rows] = self.over[rows] = False

    def view(self, rows: I64) -> Pool:
        """The given rows as a pool of their own (a copy)."""
        return Pool(**{name: getattr(self, name).take(rows, axis=0) for name in _COLUMNS})

    def keep(self, rows: I64) -> None:
        """Drop all other rows."""
        for name in _COLUMNS:
            setattr(self, name, getattr(self, name).take(rows, axis=0))


_COLUMNS = tuple(field.name for field in fields(Pool))
