"""How tasks, forms and gates are found by themselves. Each part is a class in a package of its kind,
with a `name`; a new one is a new file and nothing else. Knows no kind of part by name.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any, TypeVar

from personas.errors import TrainingError

Part = TypeVar("Part")


def instances(package: ModuleType, *members: str) -> dict[str, Any]:
    """One instance, by its name and in the order of names, of each class that a module of the package defines and that
    has all these members."""
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(package.__path__):
        loaded = importlib.import_module(f"{package.__name__}.{module.name}")
        for value in vars(loaded).values():
            own = isinstance(value, type) and value.__module__ == loaded.__name__
            if own and all(hasattr(value, member) for member in members):
                part = value()
                found[part.name] = part
    return dict(sorted(found.items()))


def named(kind: str, name: str, known: Mapping[str, Part], otherwise: str) -> Part:
    """The part of that name. TrainingError where there is none; its hint is the nearest name, or else `otherwise`."""
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise TrainingError(
            f"There is no {kind} {name!r}. {kind.capitalize()}s: {', '.join(known)}.",
            hint=f"Did you mean {near[0]}?" if near else otherwise,
        )
    return known[name]
