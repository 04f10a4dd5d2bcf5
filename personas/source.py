"""Read YAML and CSV files so that every mistake can be told by file, line, field, found and expected.

YAML is composed into nodes first (no tags, no aliases, no duplicate keys) and the line of each field is kept;
pydantic's errors are then given back their lines. Where PyYAML has libyaml (its wheels do), that reads first, at five
times the speed; what it does not take is read again in Python, whose messages are better. Values keep the type that
they were written with: `"3"` is a text and no number. Files are bounded in size. Knows nothing of products or personas.
"""

from __future__ import annotations

import contextlib
import difflib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from personas.errors import Fault, PackError

MAX_BYTES = 8 * 1024 * 1024
MAX_YAML_BYTES = 512 * 1024  # in Python, YAML is read at about 100 kB/s
Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]
_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")}


class _Strict(Composer):
    """Refuses what a pack file does not need: aliases (which can grow without bound) and tags."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[attr-defined]  # of the parser that this is mixed with
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(f"an alias (*{event.anchor})", "the value itself", line)
        if getattr(event, "tag", None) is not None:
            raise _Refused(f"a tag ({event.tag})", "a plain value without a tag", line)
        return super().compose_node(parent, index)


class _Loader(_Strict, yaml.SafeLoader):
    """Everything in Python."""


def _quick_loader() -> type[Any] | None:
    """A loader that has libyaml find the tokens; None where PyYAML was built without it."""
    try:
        from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs do not export it
    except ImportError:
        return None

    class QuickLoader(_Strict, CParser, SafeConstructor, Resolver):
        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    return QuickLoader


class _Refused(Exception):
    """Valid YAML that is not for pack files. Arguments: found, expected, line."""


QUICK_LOADER = _quick_loader()


@dataclass(frozen=True)
class Lines:
    """Where each field of a file stands, kept for checks that span files."""

    file: str
    lines: dict[Path_, int]


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """The text of a file, or PackError when it is missing, unreadable, too large or not UTF-8."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise _wrong(path, "", "a directory" if stat.S_ISDIR(about.st_mode) else "a device or a pipe", "a file")
        if about.st_size > most:
            raise _wrong(path, "", f"{about.st_size} bytes", f"at most {most} bytes")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise _wrong(path, "", "no such file", "a file") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _wrong(path, "", f"the byte 0x{error.object[error.start]:02x}, not UTF-8", "UTF-8 text", line) from None
    except OSError as error:
        raise _wrong(path, "", f"a file that cannot be read ({error.strerror})", "a readable file") from None


def _wrong(path: Path, field: str, found: str, expected: str, line: int | None = None) -> PackError:
    fault = Fault(file=str(path), field=field, found=found, expected=expected, line=line)
    return PackError(f"{path.name} cannot be read", (fault,))


def read_yaml(path: Path) -> tuple[Any, dict[Path_, int]]:
    """The data of a YAML file, and the line (from 1) of every field in it."""
    text = read_text(path, MAX_YAML_BYTES)
    if QUICK_LOADER is not None:
        with contextlib.suppress(_Refused, yaml.YAMLError, RecursionError):
            return _read(QUICK_LOADER, text, path)
    try:
        return _read(_Loader, text, path)
    except _Refused as refused:
        found, expected, line = refused.args
        raise _wrong(path, "", found, expected, line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ": ".join(part for part in (error.context, error.problem) if part)
        raise _wrong(path, "", f"broken YAML ({said})", "valid YAML", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _wrong(path, "", f"the character {error.character:#06x}", "characters that YAML allows", line) from None
    except RecursionError:
        raise _wrong(path, "", "nesting too deep to read", "a few levels of nesting") from None


def _read(kind: type[Any], text: str, path: Path) -> tuple[Any, dict[Path_, int]]:
    loader = kind(text)
    try:
        node = loader.get_single_node()
        lines: dict[Path_, int] = {}
        return _build(loader, node, (), lines, path) if node is not None else None, lines
    finally:
        loader.dispose()


def _build(loader: yaml.SafeLoader, node: yaml.Node, at: Path_, lines: dict[Path_, int], path: Path) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
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
        return tuple(_value(loader, child, (*at, i), lines, path) for i, child in enumerate(node.value))
    if isinstance(node, yaml.MappingNode):
        inner: dict[Path_, int] = {}
        built = _build(loader, node, at, inner, path)
        lines.update({key: value for key, value in inner.items() if key not in lines})
        return built
    if node.tag not in _SCALARS:  # dates and the like stay the text that was written
        node.tag = "tag:yaml.org,2002:str"
    line = node.start_mark.line + 1
    lines.setdefault(at, line)
    try:
        return loader.construct_object(node, deep=False)
    except (ValueError, OverflowError, KeyError):  # what YAML takes for a number and Python does not, such as 0b_
        raise _wrong(path, dotted(at), _short(node.value), "a value that can be read", line) from None


def dotted(path: Path_) -> str:
    """`('events', 'order', 'on', 0)` as `events.order.on[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if part.isprintable() else repr(part)[1:-1])
    return text


def parse(model: type[Model], path: Path) -> tuple[Model, dict[Path_, int]]:
    """The file as a model, with the line of each field. PackError lists every fault that pydantic found."""
    data, lines = read_yaml(path)
    if not isinstance(data, dict):
        raise _wrong(path, "", "nothing" if data is None else _short(data), "a mapping of fields", 1)
    try:
        return model.model_validate(data, strict=True), lines
    except ValidationError as error:
        raise PackError(f"{path.name} is not valid", tuple(_faults(error, path, lines, model))) from None


#: Errors of pydantic that speak of Python's types, in the words of somebody who writes YAML.
EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping of fields",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "model_type": "a mapping of fields",
    "string_type": "text (in quotes where it looks like something else)",
    "tuple_type": "a list",
}


def _faults(error: ValidationError, path: Path, lines: dict[Path_, int], model: type[BaseModel]) -> Iterator[Fault]:
    entries = error.errors(include_url=False)
    misspelt = _misspelt(entries)
    for entry in entries:
        if entry["type"] == "missing" and entry["loc"] in misspelt.values():
            continue
        where = tuple(part for part in entry["loc"] if part != "[key]")
        said = entry["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        found, expected = _short(entry["input"]), EXPECTED.get(entry["type"], said)
        if meant := misspelt.get(entry["loc"]):
            found, expected = "an unknown field", f"{meant[-1]}, which is missing"
        elif entry["type"] == "extra_forbidden":
            found, expected = "an unknown field", _suggestion(str(where[-1]), model)
        elif entry["type"] == "missing":
            found, expected = "nothing", "this field"
        yield Fault(str(path), dotted(where), found, expected, nearest(lines, where))


def _misspelt(entries: Sequence[Any]) -> dict[Path_, Path_]:
    """Unknown fields that stand where a field with nearly the same name is missing: one mistake, not two."""
    missing = [entry["loc"] for entry in entries if entry["type"] == "missing"]
    found: dict[Path_, Path_] = {}
    for entry in entries:
        if entry["type"] == "extra_forbidden":
            parent, name = entry["loc"][:-1], str(entry["loc"][-1])
            beside = [str(loc[-1]) for loc in missing if loc[:-1] == parent and loc not in found.values()]
            for close in difflib.get_close_matches(name, beside, n=1):
                found[entry["loc"]] = (*parent, close)
    return found


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
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
