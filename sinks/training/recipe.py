"""What decides the bytes of a training set, in one place, and the version that follows from it.

Two ways to name versions were weighed: a counter (v1, v2: readable, but two machines give the same name to different
data), or a hash of everything that decides the content. The hash won: the same build on the same snapshot of a store is
the same version wherever it is made, and a version that exists already need not be made again.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from personas.provenance import fingerprint
from sinks.training.split import Split


class Recipe(BaseModel):
    """Everything that a training set follows from. `snapshot` and `query` are fingerprints; `mixing` is what joins
    real rows to synthetic ones, empty where nothing does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    options: dict[str, Any]
    product: str
    runs: tuple[str, ...]
    snapshot: str
    query: str
    split: Split
    form: str
    mixing: dict[str, Any]
    dayone_version: str

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of all fields."""
        return fingerprint(self.model_dump(mode="json"))[:12]
