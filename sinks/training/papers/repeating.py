"""Makes a training set again from its recipe and compares every file: what sums and chains cannot tell.

The audit log covers the manifests of runs, not each of their events. Who changes an event in the store changes what the
recipe makes of it, and so it is found here. It takes as long as the build did. The core of a set with real rows
is not in the store: whoever repeats it has to give it, with the key of its pseudonyms.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from personas.errors import TrainingError
from sinks.training.build import Order, build
from sinks.training.core.taking import RUN as CORE
from sinks.training.gates.cited_proof import cited_again
from sinks.training.mixing import Mixing
from sinks.training.papers.facts import Publisher
from sinks.training.papers.manifest import files_in, sums_of
from sinks.training.papers.papers import Papers
from sinks.training.papers.reading import Published
from sinks.training.registry import form_of, task_of
from sinks.training.split import Split

if TYPE_CHECKING:
    from sinks.store import Store
    from sinks.training.core.taking import Core


def repeat_faults(found: Published, store: Store, core: Core | None = None) -> list[str]:
    """What differs when the set is made again from this store: nothing where the store holds what it held, and the
    core, where real rows were mixed in, is the same.

    TrainingError where it cannot be made again: its core is not given, a run is gone, a gate holds it back now."""
    recipe = found.manifest["dayone:recipe"]
    if bool(recipe["mixing"]) != (core is not None):
        raise TrainingError(
            f"{found.subject}: real rows were mixed in, and they are not in the store."
            if core is None
            else f"{found.subject}: no real rows were mixed in, so no core belongs to it.",
            hint=f"It was made by: {found.manifest['dayone:command']}",
        )
    mixed = {name: value for name, value in recipe["mixing"].items() if name in Mixing.model_fields}
    task = task_of(recipe["task"])
    order = Order(
        task, task.options.model_validate(recipe["options"]), product=recipe["product"],
        runs=tuple(run for run in recipe["runs"] if run != CORE), core=core,
        split=Split.model_validate(recipe["split"]), form=form_of(recipe["form"]),
        mixing=Mixing.model_validate(mixed) if core else None,
    )  # fmt: skip
    if not recipe["mixing"] and "--i-know-this-collapses" in shlex.split(found.manifest["dayone:command"]):
        order = replace(order, copies=True)
    order = replace(order, proof=cited_again(found.manifest["dayone:gates"]))
    if "--gate" in shlex.split(found.manifest["dayone:command"]):  # other thresholds than the usual ones
        order = replace(order, thresholds={gate["gate"]: gate["threshold"] for gate in found.manifest["dayone:gates"]})
    publisher = Publisher(**found.manifest["dayone:publisher"])
    with TemporaryDirectory(prefix="dayone-repeated-") as folder:
        made = build(store, order, Path(folder), papers=Papers(publisher=publisher))
        version = found.subject.partition("/")[2]
        if made.recipe.version != version:
            return [
                f"made again it is version {made.recipe.version}, not {version}: the store has read more of the topics "
                "since, or lost some, or the core is another, or this is another version of Dayone"
            ]
        sums = sums_of(made.directory)
        return [
            f"{path}: made again from the store it has other bytes"
            for path, file in files_in(found.manifest).items()
            if sums.get(path, (0, ""))[1] != file["sha256"]
        ]
