"""Read YAML and CSV files so that every mistake can be told by file, line, field, found and expected.

YAML is composed into nodes first (safe tags only, no aliases, no duplicate keys) and the line of each field is kept;
pydantic's errors are then given back their lines. Files are bounded in size. Knows nothing of products or personas.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from personas.errors import Fault, PackError

MAX_BYTES = 8 * 1024 * 1024
Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]
_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")}


def read_text(path: Path) -> str:
    """The text of a file, or PackError when it is missing, unreadable, too large or not UTF-8."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _wrong(path, "", f"{path.stat().st_size} bytes", f"at most {MAX_BYTES} bytes")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise _wrong(path, "", "no such file", "a file") from None
    except IsADirectoryError:
        raise _wrong(path, "", "a directory", "a file") from None
    except PermissionError:
        raise _wrong(path, "", "a file that may not be read", "a readable file") from None
    except UnicodeDecodeError as error:
        raise _wrong(path, "", f"a byte that is not UTF-8 at position {error.start}", "UTF-8 text") from None


def _wrong(path: Path, field: str, found: str, expected: str, line: int | None = None) -> PackError:
    fault = Fault(file=str(path), field=field, found=found, expected=expected, line=line)
    return PackError(f"{path.name} cannot be read", (fault,))


def read_yaml(path: Path) -> tuple[Any, dict[Path_, int]]:
    """The data of a YAML file, and the line (from 1) of every field in it."""
    text = read_text(path)
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            lines: dict[Path_, int] = {}
            data = _build(loader, node, (), lines, path) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(path, "", error.problem or "broken YAML", "YAML", mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise _wrong(path, "", str(error).splitlines()[0], "YAML") from None
    except (RecursionError, ValueError, OverflowError) as error:
        raise _wrong(path, "", str(error) or "nesting without end", "YAML with plain values") from None
    return data, lines


def _build(loader: yaml.SafeLoader, node: yaml.Node, at: Path_, lines: dict[Path_, int], path: Path) -> Any:
    line = node.start_mark.line + 1
    if at in lines and isinstance(node, yaml.CollectionNode):
        raise _wrong(path, dotted(at), "an alias", "the value itself", line)
    lines.setdefault(at, line)
    if isinstance(node, yaml.MappingNode):
        built: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _wrong(path, dotted(at), "a key that is not plain text", "text", key_node.start_mark.line + 1)
            key = str(key_node.value)
            if key in built:
                raise _wrong(path, dotted((*at, key)), "the field twice", "once", key_node.start_mark.line + 1)
            lines[(*at, key)] = key_node.start_mark.line + 1
            built[key] = _value(loader, value_node, (*at, key), lines, path)
        return built
    return _value(loader, node, at, lines, path)


def _value(loader: yaml.SafeLoader, node: yaml.Node, at: Path_, lines: dict[Path_, int], path: Path) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, child, (*at, i), lines, path) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        inner: dict[Path_, int] = {}
        built = _build(loader, node, at, inner, path)
        lines.update({key: value for key, value in inner.items() if key not in lines})
        return built
    if node.tag not in _SCALARS:  # dates and the like stay the text that was written
        node.tag = "tag:yaml.org,2002:str"
    lines.setdefault(at, node.start_mark.line + 1)
    return loader.construct_object(node, deep=False)  # type: ignore[no-untyped-call]


def dotted(path: Path_) -> str:
    """`('events', 'order', 'on', 0)` as `events.order.on[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse(model: type[Model], path: Path) -> tuple[Model, dict[Path_, int]]:
    """The file as a model, with the line of each field. PackError lists every fault that pydantic found."""
    data, lines = read_yaml(path)
    if not isinstance(data, dict):
        raise _wrong(path, "", "nothing" if data is None else _short(data), "a mapping of fields", 1)
    try:
        return model.model_validate(data), lines
    except ValidationError as error:
        raise PackError(f"{path.name} is not valid", tuple(_faults(error, path, lines, model))) from None


def _faults(error: ValidationError, path: Path, lines: dict[Path_, int], model: type[BaseModel]) -> Iterator[Fault]:
    for entry in error.errors(include_url=False):
        where = tuple(part for part in entry["loc"] if part != "[key]")
        found, expected = _short(entry["input"]), entry["msg"].removeprefix("Value error, ")
        if entry["type"] == "extra_forbidden":
            found, expected = "an unknown field", _suggestion(str(where[-1]), model)
        elif entry["type"] == "missing":
            found, expected = "nothing", "this field"
        yield Fault(str(path), dotted(where), found, expected, nearest(lines, where))


def nearest(lines: dict[Path_, int], where: Path_) -> int | None:
    """The line of the field, or of the closest thing around it."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where)


def _suggestion(name: str, model: type[BaseModel]) -> str:
    known: set[str] = set()
    pending, seen = [model], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        known.update(current.model_fields)
        for info in current.model_fields.values():
            for part in (info.annotation, *getattr(info.annotation, "__args__", ())):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    pending.append(part)
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"a known field (did you mean {close[0]}?)" if close else "a known field"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
