"""Every task and every form, found by itself: a module in `tasks/` that has a class with a `name` and a `query` is a
task, one in `forms/` with a `name` and a `write` a form.

Knows the folders, no task or form by name, so a new one is a new file and nothing else.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import ValidationError

from personas.errors import TrainingError
from sinks.training import forms, tasks
from sinks.training.discovery import instances, named
from sinks.training.form import Form
from sinks.training.task import Options, Task


@cache
def all_tasks() -> dict[str, Task]:
    """One instance of each task by name, in alphabetical order."""
    return instances(tasks, "name", "query")


@cache
def all_forms() -> dict[str, Form]:
    """One instance of each form by name, in alphabetical order."""
    return instances(forms, "name", "write")


def task_of(name: str) -> Task:
    """The task of that name; TrainingError with the nearest one where there is none."""
    return named("task", name, all_tasks(), "`dayone tasks` tells what each is for.")


def form_of(name: str) -> Form:
    """The form of that name; TrainingError with the nearest one where there is none."""
    return named("form", name, all_forms(), "Parquet is what is written where --form is left out.")


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
