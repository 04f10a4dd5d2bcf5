"""A twin model on disk: a folder with arrays, words and where they come from. Nothing in it can be executed.

    model.npz       the arrays (NumPy's own format, without pickle)
    words.json      the texts of codes
    lineage.json    what it was fitted on and how: see `Lineage`; the fingerprint of the two above

A folder appears whole or not at all. Reading one checks every array against the fingerprint.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from personas.errors import TwinError
from personas.provenance import dayone_version
from simulator.behaviour.arrays import read_arrays, save_arrays
from simulator.twins.ancestry import Ancestry
from simulator.twins.model import FORMAT, FitOptions, TwinModel

ARRAYS, WORDS, LINEAGE = "model.npz", "words.json", "lineage.json"
_HINT = "Fit it again with `dayone fit`."


class PackNamed(BaseModel):
    """The pack whose words a model speaks. `events` and `items` give what the core calls things their names in the
    pack, where those are others; an event without a name is not in the pack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    fingerprint: str
    events: dict[str, str] = Field(default_factory=dict)
    items: dict[str, str] = Field(default_factory=dict)


class Lineage(BaseModel):
    """Where a model comes from. `core` tells the files (name, bytes, SHA-256), rows, users, sessions, span, columns,
    the map, and what was set aside; `facts` what fitting found; `new_pack` what was inferred where a pack was made. No
    name of a user or session is in it. `generation` is that of the rows that will be drawn: one more than the core's.
    `real`: real people are among the ancestors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    fingerprint: str
    dayone_version: str
    generation: int
    ancestors: tuple[str, ...]
    real: bool
    k: int
    epsilon: float | None
    delta: float | None
    seed: int
    item_names: int = 2
    pack: PackNamed | None
    core: dict[str, Any]
    facts: dict[str, Any]
    new_pack: dict[str, Any] | None = None


def lineage_of(
    model: TwinModel, options: FitOptions, *, ancestry: Ancestry, core: dict[str, Any],
    pack: PackNamed | None, new_pack: dict[str, Any] | None = None,
) -> Lineage:  # fmt: skip
    """The lineage of a model that was fitted with these options on that core."""
    return Lineage(
        format=FORMAT, fingerprint=model.fingerprint, dayone_version=dayone_version(),
        generation=ancestry.generation + 1, ancestors=ancestry.ancestors, real=ancestry.real, k=options.k,
        epsilon=options.epsilon, delta=options.delta, seed=options.seed,
        item_names=options.item_names, pack=pack,
        core=core, facts=dict(model.facts), new_pack=new_pack,
    )  # fmt: skip


def check_free(folder: Path) -> None:
    """TwinError where a model cannot be put without losing something else."""
    if folder.exists() and not (folder / LINEAGE).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise TwinError(f"{folder}: there is something else that is no twin model.", hint="Give another --out.")


def save(model: TwinModel, lineage: Lineage, folder: Path) -> None:
    """Put the model there, in the place of an older one. TwinError where that is impossible."""
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
            part = Path(made) / "model"
            part.mkdir()
            save_arrays(part / ARRAYS, model.arrays)
            words = {name: list(each) for name, each in model.words.items()}
            (part / WORDS).write_text(json.dumps(words, ensure_ascii=False) + "\n", "utf-8")
            (part / LINEAGE).write_text(lineage.model_dump_json(indent=2) + "\n", "utf-8")
            if folder.exists():
                folder.replace(Path(made) / "older")
            part.replace(folder)
    except OSError as error:
        raise TwinError(f"{folder}: cannot be written ({error.strerror}).", hint="Give another --out.") from error


def load(folder: Path) -> tuple[TwinModel, Lineage]:
    """The model in a folder, and its lineage. TwinError where there is none, or it is not what it was."""
    if not (folder / LINEAGE).is_file():
        found = "no twin model in it" if folder.is_dir() else "no such folder"
        raise TwinError(f"{folder}: found {found}, expected a folder made by `dayone fit`.", hint=_HINT)
    try:
        lineage = read_lineage(folder)
        arrays = read_arrays(folder / ARRAYS)
        words = {name: tuple(each) for name, each in json.loads((folder / WORDS).read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise TwinError(f"{folder}: the model is damaged: {type(error).__name__}: {error}.", hint=_HINT) from error
    model = TwinModel(arrays, words, lineage.facts)
    if model.fingerprint != lineage.fingerprint:
        raise TwinError(
            f"{folder}: the model is not what was fitted: its fingerprint is {model.fingerprint[:12]}, and its lineage "
            f"says {lineage.fingerprint[:12]}.", hint=_HINT,
        )  # fmt: skip
    return model, lineage


def read_lineage(folder: Path) -> Lineage:
    """The lineage alone. TwinError where it is damaged or of another version."""
    try:
        told = json.loads((folder / LINEAGE).read_text("utf-8"))
        if isinstance(told, dict) and told.get("format") != FORMAT:
            raise TwinError(
                f"{folder}: a model of format {told.get('format')}, and this version of Dayone reads {FORMAT}.",
                hint=_HINT,
            )
        return Lineage.model_validate(told)
    except (OSError, ValueError, ValidationError) as error:
        raise TwinError(f"{folder}/{LINEAGE}: not the lineage of a twin model ({error}).", hint=_HINT) from error
