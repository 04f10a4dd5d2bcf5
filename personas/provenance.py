"""The run manifest: what was run, from which pack, with which seed, how far it came. Published on `dayone.runs`.

A run is named by what decides its events (pack, seed, users, start, problem rate, generator) and by nothing else:
not by its length, its shards or its speed. So the same command started again is the same run and continues it,
and a run with more days continues a shorter one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RunState = Literal["started", "completed", "stopped", "failed"]


def dayone_version() -> str:
    """The installed version, or 0 in a bare checkout."""
    try:
        return version("dayone")
    except PackageNotFoundError:
        return "0"


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON form of `value`: sorted keys, no spaces, UTF-8."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class SteeringChange(BaseModel):
    """A steering command that was carried out, and the virtual time from which it counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    at: datetime
    command: str
    value: float | None = None


class RunIdentity(BaseModel):
    """What decides the events of a run. `run_id` is a function of these fields alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    product: str
    product_version: int
    pack_fingerprint: str
    seed: int
    users: int
    start: datetime
    problem_rate: float = 1.0
    generator: str = "prior"
    generation: int = 1

    @property
    def run_id(self) -> str:
        """`<product>-<10 letters and digits>`, a hash of all fields."""
        digest = hashlib.sha256(fingerprint(self.model_dump(mode="json")).encode()).digest()
        return f"{self.product}-{base64.b32encode(digest)[:10].decode().lower()}"


class RunManifest(BaseModel):
    """The state of one run (or one shard of it) as published on `dayone.runs`, keyed by `<run id>/<shard>`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    run_id: str
    identity: RunIdentity
    state: RunState
    shard: int = 0
    shards: int = 1
    days: float
    dayone_version: str
    updated: datetime
    virtual_time: datetime
    counts: dict[str, int] = Field(default_factory=dict)
    steering: tuple[SteeringChange, ...] = ()
    reason: str = ""

    @property
    def key(self) -> str:
        return f"{self.run_id}/{self.shard}"
