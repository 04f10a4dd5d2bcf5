"""The Behaviour: named arrays from which the engine plays sessions. Whoever made it, it has this form.

A next event is drawn with a weight that is a product of factors: what this persona with this intent does in this
situation, what follows the event before, how the user's traits bend it, how a problem is reacted to. All factors are
relative; legality is not in here: the world masks what is illegal, so no behaviour can break a precondition. Columns of
events are in the product's order, and the last column is *leave*.

Two ways were weighed: one table of probabilities by full context, or factors. Factors won: they can be estimated from
little data, each can be shrunk towards the prior by itself, and the prior can be computed from a product definition.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import F64

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Behaviour:
    """Sizes: P personas, G intents, S reachable situations, E events, T traits, M problems, Q quantile cells, R price
    levels, I items, W positions in the widest slate. Times are in seconds.

    intents [P, G]: probability of each intent at the start of a session.
    next_event [P, G, S, E+1]: weight of each event, and of leaving, in a situation.
    after [E+1, E+1]: factor given the event before (the last row: nothing before).
    traits [T, E+1]: coefficients c; the factor is exp(c (2 trait - 1)).
    reaction [M+1, E+1]: factor right after a problem (the last row: no problem).
    leave_after_goal [G]: factor on leaving once the goal of the intent is reached.
    fatigue: exponent of (events so far / patience) in the factor on leaving once patience is used up.
    dwell [E, Q+1], load [Q+1]: quantiles of the time after an event, and of the loading time of a page.
    taste: exponent on the user's taste for the item's category. appeal [R, I]: factor of an item for a user who minds
    the price at level r (quality and price fit). seen: factor for items that the user opened lately.
    places [W]: factor of each position in a slate, beside the pack's own `examination`.
    """

    generator: str
    intents: F64
    next_event: F32
    after: F32
    traits: F64
    reaction: F32
    leave_after_goal: F32
    fatigue: float
    dwell: F64
    load: F64
    taste: float
    appeal: F32
    seen: float
    places: F64

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the names, shapes and bytes of all arrays."""
        digest = hashlib.sha256()
        for field in fields(self):
            value: Any = getattr(self, field.name)
            array = np.asarray(value) if not isinstance(value, str) else np.frombuffer(value.encode(), dtype=np.uint8)
            digest.update(f"{field.name}{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
