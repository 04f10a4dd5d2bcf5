"""Tokens in the order of their classes, while an item network is learnt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.twins.descent import F32
from simulator.twins.history import I32
from simulator.twins.items import Classes, ItemNetwork, tokens_of
from simulator.twins.log import I64


@dataclass(frozen=True)
class Shelves:
    """Tokens in the order of their classes, so that a class is a run of rows: views where its members would be copies.

    order [T+1]: the token at each rank, the last is no item; rank: the other way round. first [C+1]: where each class
    begins. `alone` tokens are items, the others stand for several. allowed [E, T] by rank, class_allowed [E, C]: see
    `ItemNetwork`.
    """

    order: I64
    rank: I64
    first: I64
    token: npt.NDArray[np.integer]
    alone: int
    allowed: F32
    class_allowed: F32

    @classmethod
    def of(cls, network: ItemNetwork) -> Shelves:
        """The tokens of a network."""
        classes = Classes(network)
        order = np.append(classes.order, len(classes.order))
        return cls(
            order, np.argsort(order), classes.first, network.token, classes.alone,
            np.ascontiguousarray(network.allowed[:, classes.order]), network.class_allowed,
        )  # fmt: skip

    def of_items(self, codes: npt.NDArray[np.integer]) -> I64:
        """Ranks of items."""
        return self.rank[tokens_of(codes, self.token)]

    def had(self, recent: I32, leaf: I64, target: I64) -> tuple[I64, I64]:
        """Which rows cannot choose which ranks of their classes, [m] each, rows rising: items of the session."""
        rank = self.rank[np.where((recent >= 0) & (recent < self.alone), recent, len(self.rank) - 1)]
        here = (rank >= self.first[leaf][:, None]) & (rank < self.first[leaf + 1][:, None])
        row, place = np.nonzero(here & (rank != target[:, None]))
        return row, rank[row, place]
