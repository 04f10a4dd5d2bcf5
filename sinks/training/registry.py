"""Every task, found by itself: a module in `tasks/` that has a class with a `name` and a `query` is one.

Knows the folder, no task by name, so a new task is a new file and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import ValidationError

from personas.errors import TrainingError
from sinks.training import tasks
from sinks.training.task import Options, Task


@cache
def all_tasks() -> dict[str, Task]:
    """One instance of each task by name, in alphabetical order."""
    found: dict[str, Task] = {}
    for module in pkgutil.iter_modules(tasks.__path__):
        loaded = importlib.import_module(f"{tasks.__name__}.{module.name}")
        for value in vars(loaded).values():
            if isinstance(value, type) and value.__module__ == loaded.__name__ and hasattr(value, "query"):
                task: Task = value()
                found[task.name] = task
    return dict(sorted(found.items()))


def task_of(name: str) -> Task:
    """The task of that name; TrainingError with the nearest ones where there is none."""
    known = all_tasks()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise TrainingError(
            f"There is no task {name!r}. Tasks: {', '.join(known)}.",
            hint=f"Did you mean {near[0]}?" if near else "`dayone tasks` tells what each is for.",
        )
    return known[name]


def options_of(task: Task, given: dict[str, str]) -> Options:
    """The options of a task from texts (`--option name=value`); TrainingError names what is wrong and what there is."""
    try:
        return task.options.model_validate(given)
    except ValidationError as error:
        fault: Any = error.errors()[0]
        known = ", ".join(
            f"{name} ({field.description}; {field.default})" for name, field in task.options.model_fields.items()
        )
        raise TrainingError(
            f"--option {fault['loc'][0]}: {fault['msg'][0].lower()}{fault['msg'][1:]}.",
            hint=f"Options of {task.name}: {known or 'none'}.",
        ) from error
