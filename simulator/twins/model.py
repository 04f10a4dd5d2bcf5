"""A twin model: what was learnt of real users, as named arrays and words, and the wishes that it was fitted with.

It has no row of the core in it: only counts and what was computed from them. Knows neither how it was fitted nor how
sessions are drawn from it (see `fit`, `draw`), and no files (see `artefact`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

#: Raised when arrays change their meaning: an older artefact is refused with words.
FORMAT = 6


@dataclass(frozen=True)
class FitOptions:
    """How to fit. Nothing is learnt alone that fewer than `k` users did; an item of fewer is learnt together with
    others, and keeps its name, which is the product's, from `item_names` users on (set it to `k` where items are
    secrets). With `epsilon`, released counts carry noise so that the model is (epsilon, delta)-differentially private
    for a user; without, there is no such promise. With `allow_near_copies` twins may nearly equal real sessions;
    without, the model keeps hashes to refuse them by."""

    k: int = 5
    epsilon: float | None = None
    delta: float | None = None
    seed: int = 1
    item_names: int = 2
    allow_near_copies: bool = False


@dataclass(frozen=True)
class TwinModel:
    """`arrays` by name; `words` the texts of codes (`event`, `item`, and those of further columns); `facts` what is
    told about it: plain JSON (users, sessions, span, what was dropped, held-out scores)."""

    arrays: Mapping[str, npt.NDArray[Any]]
    words: Mapping[str, tuple[str, ...]]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over arrays and words: what decides the sessions that are drawn."""
        digest = hashlib.sha256(json.dumps([FORMAT, {k: list(v) for k, v in sorted(self.words.items())}]).encode())
        for name, array in sorted(self.arrays.items()):
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
