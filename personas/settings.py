"""Settings as people meet them: faults in words, and the list that `dayone config` shows.

Works on any pydantic model whose fields are variables with the prefix DAYONE_, or, where a field has an alias, with
the alias as its name (variables that others have made a custom, such as ANTHROPIC_API_KEY). Secrets never show: a fault
of a secret does not say what was found, and the list has `***` for it. The environment is read by each room's
settings.py; here only names of variables are looked at, to say where a value came from.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from personas.connection import PREFIX

MASK = "***"
#: Passwords inside of addresses and connection strings: everything of a value but the groups is masked.
_INSIDE = (re.compile(r"(://[^/@:\s]*:)[^/@\s]+(@)"), re.compile(r"(?i)(password=)(?:'[^']*'|\S+)()"))


@dataclass(frozen=True)
class Setting:
    """One setting in force: its variable, its value as text (`***` for a secret), where that came from (`default`,
    `environment`, or `file PATH`), which rooms use it, and what it is for."""

    variable: str
    value: str
    source: str
    rooms: tuple[str, ...]
    description: str


def describe_faults(error: ValidationError, model: type[BaseModel], given: Mapping[str, Any]) -> str:
    """What is wrong, a line for each setting: its variable, what it is for, what was found, what was expected."""
    variables = given_variables(model)
    names = {variable_of(name, field): name for name, field in model.model_fields.items()}
    lines = []
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0]) if fault["loc"] else "settings"
        name = names.get(name, name)
        field = model.model_fields.get(name)
        variable = variable_of(name, field)
        place = variable if name not in given and variable in variables else f"{variable} (option)"
        found = MASK if field is not None and is_secret(field) else repr(fault["input"])
        expected = fault["msg"][0].lower() + fault["msg"][1:]
        about = f" ({field.description})" if field and field.description else ""
        lines.append(f"{place}{about}: found {found}, {expected}.")
    return "\n".join(lines)


def given_variables(model: type[BaseModel]) -> set[str]:
    """The variables of a model that the environment has, in capitals; empty ones do not count."""
    ours = {variable_of(name, field) for name, field in model.model_fields.items()}
    return {name.upper() for name, value in os.environ.items() if value and name.upper() in ours}


def variable_of(name: str, field: FieldInfo | None = None) -> str:
    """The environment variable of a field."""
    alias = field.validation_alias if field is not None else None
    return alias if isinstance(alias, str) else f"{PREFIX}{name.upper()}"


def settings_in_force(rooms: Mapping[str, BaseModel]) -> list[Setting]:
    """The settings of several rooms, each variable once, in the order of their names."""
    found: dict[str, Setting] = {}
    for room, settings in rooms.items():
        variables = given_variables(type(settings))
        for name, field in type(settings).model_fields.items():
            variable = variable_of(name, field)
            users = (*found[variable].rooms, room) if variable in found else (room,)
            source = "environment" if variable in variables else "default"
            value = getattr(settings, name)
            if is_secret(field):
                file: Path | None = getattr(settings, f"{name}_file", None)
                source = f"file {file}" if file else source
                value = MASK if file or value.get_secret_value() else ""
            text = "" if value is None else masked(str(value))
            found[variable] = Setting(variable, text, source, users, field.description or "")
    return [found[variable] for variable in sorted(found)]


def is_secret(field: FieldInfo) -> bool:
    """Whether a field's values must not be shown."""
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def masked(text: str) -> str:
    """A value without the passwords that stand inside of it."""
    for pattern in _INSIDE:
        text = pattern.sub(rf"\1{MASK}\2", text)
    return text


def told(rooms: Mapping[str, BaseModel], as_json: bool) -> str:
    """The list as text: for machines, or for people, who first get what somebody has set."""
    settings = settings_in_force(rooms)
    if as_json:
        return json.dumps([asdict(setting) for setting in settings], indent=2)
    rows = sorted(settings, key=lambda setting: setting.source == "default")
    width = max(len(setting.variable) for setting in rows)
    lines = []
    for setting in rows:
        value = setting.value or "-"
        lines.append(f"{setting.variable:<{width}}  {value}  [{setting.source}; {', '.join(setting.rooms)}]")
        if setting.description:
            lines.append(f"{'':<{width}}  {setting.description}")
    return "\n".join(lines)
