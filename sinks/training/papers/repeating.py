"""Makes a training set again from its recipe and compares every file: what sums and chains cannot tell.

The audit log covers the manifests of runs, not each of their events. Who changes an event in the store changes what the
recipe makes of it, and so it is found here. It takes as long as the build did. A set with real rows cannot be repeated
so: its core is not in the store.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from personas.errors import TrainingError
from sinks.training.build import Order, build
from sinks.training.papers.facts import Publisher
from sinks.training.papers.manifest import files_in, sums_of
from sinks.training.papers.papers import Papers
from sinks.training.papers.reading import Published
from sinks.training.registry import form_of, task_of
from sinks.training.split import Split

if TYPE_CHECKING:
    from sinks.store import Store


def repeat_faults(found: Published, store: Store) -> list[str]:
    """What differs when the set is made again from this store: nothing where the store holds what it held.

    TrainingError where it cannot be made again: real rows were mixed in, a run is gone, a gate holds it back now."""
    recipe = found.manifest["dayone:recipe"]
    if recipe["mixing"]:
        raise TrainingError(
            f"{found.subject}: real rows were mixed in, and they are not in the store.",
            hint=f"Repeat it with the core: {found.manifest['dayone:command']}",
        )
    task = task_of(recipe["task"])
    order = Order(
        task, task.options.model_validate(recipe["options"]), product=recipe["product"], runs=tuple(recipe["runs"]),
        split=Split.model_validate(recipe["split"]), form=form_of(recipe["form"]),
    )  # fmt: skip
    if "--gate" in shlex.split(found.manifest["dayone:command"]):  # other thresholds than the usual ones
        order = replace(order, thresholds={gate["gate"]: gate["threshold"] for gate in found.manifest["dayone:gates"]})
    publisher = Publisher(**found.manifest["dayone:publisher"])
    with TemporaryDirectory(prefix="dayone-repeated-") as folder:
        made = build(store, order, Path(folder), papers=Papers(publisher=publisher))
        version = found.subject.partition("/")[2]
        if made.recipe.version != version:
            return [
                f"made again it is version {made.recipe.version}, not {version}: the store has read more of the topics "
                "since, or lost some, or this is another version of Dayone"
            ]
        sums = sums_of(made.directory)
        return [
            f"{path}: made again from the store it has other bytes"
            for path, file in files_in(found.manifest).items()
            if sums.get(path, (0, ""))[1] != file["sha256"]
        ]
