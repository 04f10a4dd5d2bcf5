"""The command that makes a training set again, from what it was made of. Knows the words of `dayone build` alone."""

from __future__ import annotations

import shlex

from sinks.training.recipe import Recipe


def command_of(recipe: Recipe, thresholds: bool = False, copies: bool = False) -> str:
    """`dayone build …` with every choice spelled out, the runs by name; the store, the target directory and the
    place of a core (CORE) or of other thresholds (GATES) are left to whoever repeats it."""
    said = ["dayone", "build", recipe.task, "--product", recipe.product]
    for run_id in recipe.runs:
        if run_id != "core":
            said += ["--run", run_id]
    for name, value in recipe.options.items():
        if value is not None:
            said += ["--option", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    if mixing := recipe.mixing:  # the same core, its key for pseudonyms beside the store
        said += ["--core", "CORE", "--mix", str(mixing.get("strategy", "accumulate")), "--judge", recipe.split.judge]
        for name in ("ratio", "prior_users", "thin"):
            if name in mixing:
                said += [f"--{name.replace('_', '-')}", str(mixing[name])]
    if copies or recipe.mixing.get("strategy") == "replace":
        said.append("--i-know-this-collapses")
    split = recipe.split
    said += ["--split", split.by, "--valid", repr(split.valid), "--test", repr(split.test), "--seed", str(split.seed)]
    said += ["--form", recipe.form]
    if thresholds:
        said += ["--gate", "GATES"]
    return shlex.join(said)
