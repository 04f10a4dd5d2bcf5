"""Every task and every form, found by itself: a module in `tasks/` that has a class with a `name` and a `query` is a
task, one in `forms/` with a `name` and a `write` a form.

Knows the folders, no task or form by name, so a new one is a new file and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from personas.errors import TrainingError
from sinks.training import forms, tasks
from sinks.training.form import Form
from sinks.training.task import Options, Task


@cache
def all_tasks() -> dict[str, Task]:
    """One instance of each task by name, in alphabetical order."""
    found: dict[str, Task] = {task.name: task for task in _instances(tasks, "query")}
    return dict(sorted(found.items()))


@cache
def all_forms() -> dict[str, Form]:
    """One instance of each form by name, in alphabetical order."""
    found: dict[str, Form] = {form.name: form for form in _instances(forms, "write")}
    return dict(sorted(found.items()))


def _instances(package: ModuleType, verb: str) -> Iterator[Any]:
    """One instance of each class in the package's modules that has a method of that name."""
    for module in pkgutil.iter_modules(package.__path__):
        loaded = importlib.import_module(f"{package.__name__}.{module.name}")
        for value in vars(loaded).values():
            if isinstance(value, type) and value.__module__ == loaded.__name__ and hasattr(value, verb):
                yield value()


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


def form_of(name: str) -> Form:
    """The form of that name; TrainingError with the nearest one where there is none."""
    known = all_forms()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise TrainingError(
            f"There is no form {name!r}. Forms: {', '.join(known)}.",
            hint=f"Did you mean {near[0]}?" if near else "Parquet is what is written where --form is left out.",
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
            f"--option{''.join(f' {name}' for name in fault['loc'][:1])}: {fault['msg'][0].lower()}{fault['msg'][1:]}.",
            hint=f"Options of {task.name}: {known or 'none'}.",
        ) from error
