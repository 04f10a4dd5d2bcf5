"""A part of the users of a run: those who are played alike, with the engine that plays them and the encoder.

A run has one part, or two: most users are played from tables, some by agents, all of them in the same world and with
messages in one order. Who is played by agents is so for life, by a hash of seed and user against the share: a larger
share has the same agents and more, and no user changes sides in mid-life.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.population import Population
from personas.randomness import fold, root_key, uniform
from simulator.encode import Encoder, Messages
from simulator.engine import Engine
from simulator.support.conversations import Conversations


@dataclass(frozen=True)
class Part:
    """`rows` are the users' rows in the population of the shard; None: all of them, in its order. `support` makes the
    conversations of those who write to it; None for a product without."""

    engine: Engine
    encoder: Encoder
    rows: npt.NDArray[np.int64] | None = None
    support: Conversations | None = None

    def named(self, messages: Messages) -> Messages:
        """Messages of this part's encoder, with rows in the population of the shard."""
        return messages if self.rows is None else replace(messages, row=self.rows[messages.row])

    def of(self, users: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Which rows of this part's population the given rows of the shard's population are, those of others left
        out."""
        if self.rows is None:
            return users
        place = np.searchsorted(self.rows, users)
        place = np.minimum(place, max(len(self.rows) - 1, 0))
        mine = self.rows[place] == users if len(self.rows) else np.zeros(len(users), dtype=bool)
        return np.asarray(place[mine])


def are_tutored(population: Population, seed: int, share: float) -> npt.NDArray[np.bool_]:
    """Which users are played by agents."""
    return np.asarray(uniform(fold(root_key("tutored", seed), population.number)) < share)
