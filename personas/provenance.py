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


class TutorIdentity(BaseModel):
    """Which users of a run are played by a language model, and how: `share` of them for life, `walk` (asked at each
    step) or `plan` (asked for many visits at once), by which model, with which prompts. `exact`: the schema of each
    answer lists what is possible at that moment."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: float = Field(gt=0, le=1)
    mode: Literal["walk", "plan"] = "walk"
    model: str
    prompts: str
    exact: bool = True


class TutorReport(BaseModel):
    """What the language model of a run (or shard) did and cost so far. `stepped_down`: users who are played by tables
    because the ceiling of dollars was reached, the first of them at `stepped_down_at` (virtual time). `quality` has
    what is known to go wrong with what it writes, by measure; `warnings` those beyond their threshold, in words."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ceiling: float | None = None
    dollars: float = 0.0
    calls: int = 0
    replayed: int = 0
    tokens: dict[str, int] = Field(default_factory=dict)
    decisions: int = 0
    refused: dict[str, int] = Field(default_factory=dict)
    errors: dict[str, int] = Field(default_factory=dict)
    outcomes: dict[str, int] = Field(default_factory=dict)
    conversations: int = 0
    quality: dict[str, float] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    plans: int = 0
    duplicate_plans: int = 0
    stepped_down: int = 0
    stepped_down_at: datetime | None = None


class RunIdentity(BaseModel):
    """What decides the events of a run. `run_id` is a function of these fields alone. What came later (`student`: the
    fingerprint of the fitted tables that play the users; `tutor`; `twin`: that of a model of real users) stands in it
    only where it is used, so that runs from before have the names that they had."""

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
    student: str | None = Field(None, exclude_if=lambda value: value is None)
    tutor: TutorIdentity | None = Field(None, exclude_if=lambda value: value is None)
    twin: str | None = Field(None, exclude_if=lambda value: value is None)

    @property
    def run_id(self) -> str:
        """`<product>-<10 letters and digits>`, a hash of all fields."""
        digest = hashlib.sha256(fingerprint(self.model_dump(mode="json")).encode()).digest()
        return f"{self.product}-{base64.b32encode(digest)[:10].decode().lower()}"


class RunLineage(BaseModel):
    """What the generator of a run descends from, beyond its pack: language models by name, fingerprints of prompts by
    name, the runs and models among the ancestors of its rows, and the fingerprint of the real data (generation 0)
    among them, if there is any."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    models: tuple[str, ...] = ()
    prompts: dict[str, str] = Field(default_factory=dict)
    ancestors: tuple[str, ...] = ()
    core: str | None = None


#: Of a run whose generator was computed from its pack alone.
NO_LINEAGE = RunLineage()


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
    tutor: TutorReport | None = None
    lineage: RunLineage = NO_LINEAGE

    @property
    def key(self) -> str:
        return f"{self.run_id}/{self.shard}"
