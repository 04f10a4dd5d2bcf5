"""A student on disk: a folder with the arrays of a Behaviour and where they come from. Nothing in it can be executed.

    student.npz     the arrays of the Behaviour
    lineage.json    what it was taught by and from, at what price, and how well it predicts: see `Lineage`

`dayone teach` keeps what it needs to go on beside them. Reading a student checks every array against the fingerprint,
and the pack: a Behaviour is a table of numbers by row of situation, so it fits only the pack that it was fitted for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from personas.errors import StudentError
from personas.pack import Pack
from personas.situations import Situations
from simulator.behaviour.arrays import Arrays, load_arrays, save_arrays
from simulator.behaviour.model import Behaviour
from simulator.behaviour.prior import prior

ARRAYS, LINEAGE = "student.npz", "lineage.json"
FORMAT: Literal[1] = 1
#: What a fit reads is at most of this generation (1: made by the prior or a tutor); the student is one later.
TUTORED = 1


class Teacher(BaseModel):
    """Who decided in the traces, and what that took. `kind` is `tutor`, `oracle` or `log` (`files` of sessions that
    came about elsewhere, their `generation`, `ancestors`, and whether there is anything `real` among these); `model`
    and `prompts` as in the identity of a tutored run; `calls` were answered, `replayed` of them from recordings.
    `dollars` is the price of all answers, whoever paid for them when; `sessions` could be learnt from, `lost` could
    not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["tutor", "oracle", "log"]
    files: tuple[dict[str, Any], ...] = ()
    generation: int = TUTORED
    ancestors: tuple[str, ...] = ()
    real: bool = False
    model: str = ""
    prompts: str = ""
    sessions: int = 0
    lost: int = 0
    calls: int = 0
    tokens: dict[str, int] = Field(default_factory=dict)
    dollars: float = 0.0
    budget: float | None = None


class Lineage(BaseModel):
    """Where a student comes from. `fingerprint` and `base` are those of its Behaviour and of what it was shrunk to;
    `weights` tells by factor how many parameters the traces touched and how many they determined; `fidelity` how well
    held-out sessions are predicted (see `simulator.teach.fidelity`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    dayone_version: str
    product: str
    pack_fingerprint: str
    fingerprint: str
    base: str
    generation: int = TUTORED + 1
    seed: int
    teacher: Teacher
    traces: str
    sessions: int
    decisions: int
    held_out_sessions: int
    unexplained: int = 0
    weights: dict[str, dict[str, float]] = Field(default_factory=dict)
    fidelity: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Student:
    """A Behaviour that was taught, and its lineage."""

    behaviour: Behaviour
    lineage: Lineage


def save_student(folder: Path, student: Student) -> None:
    """Put the student there, in the place of an older one. The lineage is written last: with it the folder counts."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(folder / ARRAYS, _arrays(student.behaviour))
        beside = folder / f".{LINEAGE}.part"
        beside.write_text(student.lineage.model_dump_json(indent=2) + "\n", "utf-8")
        beside.replace(folder / LINEAGE)
    except OSError as error:
        raise StudentError(f"{folder}: cannot be written ({error.strerror})", hint="Give another --out.") from None


def read_lineage(folder: Path) -> Lineage:
    """The lineage in a folder. StudentError where there is none, or none that can be read."""
    try:
        return Lineage.model_validate_json((folder / LINEAGE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        found = "no student in it" if folder.is_dir() else "no such folder"
        raise StudentError(
            f"{folder}: found {found}, expected a folder made by `dayone teach`",
            hint="Make it with: dayone teach PACK --out DIR",
        ) from None
    except (OSError, ValidationError) as error:
        raise StudentError(f"{folder / LINEAGE}: cannot be read ({error})", hint="Teach it again.") from None


def load_student(folder: Path, pack: Pack) -> Student:
    """The student in a folder. StudentError where there is none, it is damaged, or it was taught for another pack."""
    lineage = read_lineage(folder)
    if lineage.pack_fingerprint != pack.fingerprint:
        raise StudentError(
            f"{folder}: this student was taught for {lineage.product}, pack {lineage.pack_fingerprint[:12]}; the pack "
            f"to be played is {pack.product.name}, {pack.fingerprint[:12]}",
            hint="Teach it anew for this pack (recordings of answers that are asked again cost nothing), or play it "
            "with the pack that it was taught for.",
        )
    arrays = load_arrays(folder / ARRAYS)
    like = prior(pack, Situations(pack.product))
    expected = {name: array.shape for name, array in _arrays(like).items()}
    if {name: array.shape for name, array in arrays.items()} != expected:
        raise StudentError(f"{folder / ARRAYS}: these are not the tables of this pack", hint="Teach it again.")
    behaviour = _behaviour(arrays)
    if behaviour.fingerprint != lineage.fingerprint:
        raise StudentError(
            f"{folder}: the tables have fingerprint {behaviour.fingerprint[:12]}, the lineage says "
            f"{lineage.fingerprint[:12]}",
            hint="The folder was changed after it was made: teach it again.",
        )
    return Student(behaviour, lineage)


def _arrays(behaviour: Behaviour) -> Arrays:
    """All fields but the generator as arrays."""
    names = [field.name for field in fields(Behaviour) if field.name != "generator"]
    return {name: np.asarray(getattr(behaviour, name)) for name in names}


def _behaviour(arrays: Arrays) -> Behaviour:
    values: dict[str, Any] = {name: array if array.ndim else float(array) for name, array in arrays.items()}
    return Behaviour(generator="student", **values)
