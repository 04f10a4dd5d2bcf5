"""The set-up: locks, dependencies, make targets, and the front door that an installation ends in."""

from __future__ import annotations

import ast
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from typer.main import get_group
from typer.testing import CliRunner

import dayone
from personas import errors
from tests.test_architecture import HEAVY, ROOMS, ROOT, imports_of, modules

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUN_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"
SLOWEST_HELP = 0.4  # seconds


# Locks


def entries(lock: str) -> dict[str, tuple[Requirement, list[str]]]:
    """The pins of a lock by name, each with the SHA-256 hashes of its files."""
    text = (ROOT / lock).read_text("utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    found = {}
    for line in lines:
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        pin = Requirement(requirement)
        found[canonicalize_name(pin.name)] = pin, hashes
    return found


def wanted(lock: str) -> Iterator[Requirement]:
    """What pyproject.toml says that this lock has to satisfy."""
    groups = PYPROJECT["dependency-groups"]
    names = ["build"] if lock == RUN_LOCK else [each["include-group"] for each in groups["dev"]]
    yield from map(Requirement, PYPROJECT["project"]["dependencies"])
    yield from (Requirement(text) for name in names for text in groups[name])
    yield from map(Requirement, PYPROJECT["build-system"]["requires"])


@pytest.mark.parametrize("lock", [RUN_LOCK, DEV_LOCK])
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    for pin, hashes in entries(lock).values():
        assert [each.operator for each in pin.specifier] == ["=="], pin
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), pin
        assert pin.url is None
    assert not re.search(r"://|index-url|find-links|^-|file:", (ROOT / lock).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("lock", [RUN_LOCK, DEV_LOCK])
def test_the_lock_satisfies_pyproject(lock: str) -> None:
    pins = entries(lock)
    for requirement in wanted(lock):
        assert canonicalize_name(requirement.name) in pins, f"{requirement}: run make lock"
        (specifier,) = pins[canonicalize_name(requirement.name)][0].specifier
        assert requirement.specifier.contains(specifier.version), f"{requirement}: run make lock"


def test_running_and_developing_use_the_same_versions() -> None:
    dev = entries(DEV_LOCK)
    for name, entry in entries(RUN_LOCK).items():
        assert dev[name] == entry, f"{name}: run make lock"


def test_every_dependency_has_an_upper_and_a_lower_bound() -> None:
    groups = [text for group in PYPROJECT["dependency-groups"].values() for text in group if isinstance(text, str)]
    for text in [*PYPROJECT["project"]["dependencies"], *groups]:
        assert {each.operator for each in Requirement(text).specifier} in ({">=", "<"}, {"=="}), text


def test_this_environment_has_the_locked_versions() -> None:
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("the tests run in an environment that make did not build")
    for name, (pin, _) in entries(DEV_LOCK).items():
        if pin.marker is None or Marker(str(pin.marker)).evaluate():
            (specifier,) = pin.specifier
            assert Version(version(name)) == Version(specifier.version), name


# Dependencies


@cache
def installed() -> Mapping[str, list[str]]:
    """The distributions of this environment by the packages that they bring: every file of each is looked at."""
    return packages_distributions()


def third_party(path: str) -> set[str]:
    """The distributions that a module of ours imports from, by their canonical names."""
    known = installed()
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    libraries = {module.split(".")[0] for _, module in imports_of(tree, path)}
    foreign = libraries - set(sys.stdlib_module_names) - {*ROOMS, "dayone", "tests", "bench"}
    return {canonicalize_name(known.get(library, [library])[0]) for library in foreign}


def declared(*groups: str) -> set[str]:
    texts = [*PYPROJECT["project"]["dependencies"]]
    texts += [text for group in groups for text in PYPROJECT["dependency-groups"][group]]
    return {canonicalize_name(Requirement(text).name) for text in texts}


@pytest.mark.parametrize("path", modules())
def test_what_is_imported_is_declared(path: str) -> None:
    extras = {name for texts in PYPROJECT["project"]["optional-dependencies"].values() for name in texts}
    assert third_party(path) <= declared() | {canonicalize_name(Requirement(text).name) for text in extras}


def test_what_the_tests_import_is_declared() -> None:
    paths = [file.relative_to(ROOT).as_posix() for file in (ROOT / "tests").rglob("*.py")]
    # packaging comes with pytest, which declares it.
    assert {name for path in paths for name in third_party(path)} <= declared("test") | {"packaging"}


def test_every_dependency_is_used() -> None:
    used = {name for path in modules() for name in third_party(path)}
    # wheels that carry one of DuckDB's extensions are not imported: a module of ours has the extension's name in quotes
    source = "".join((ROOT / path).read_text("utf-8") for path in modules() if path.startswith("sinks/"))
    carriers = {name for name in declared() if name.startswith("duckdb-extension-")}
    used |= {name for name in carriers if f'"{name.removeprefix("duckdb-extension-")}"' in source}
    assert declared() - used == set(), "take it out, or into the extra of what will need it"


def test_a_wheel_has_the_packs_and_no_tests(tmp_path: Path) -> None:
    built = run_python("-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path))
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    files = set(zipfile.ZipFile(wheel).namelist())
    data = [file for file in (ROOT / "personas").rglob("*") if file.suffix in {".yaml", ".csv"}]
    assert data and {file.relative_to(ROOT).as_posix() for file in data} <= files
    assert set(modules()) <= files
    assert {name.split("/")[0] for name in files if "dist-info" not in name} == {*ROOMS, "dayone.py"}


# The front door


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_help_comes_at_once() -> None:
    # Processor time, the best of five: what a person waits on a quiet machine, whatever else runs on this one.
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run_python("dayone.py", "--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < SLOWEST_HELP


def test_mounting_the_commands_imports_nothing_heavy() -> None:
    code = "import dayone, sys; dayone.front_door(); print(*{name.split('.')[0] for name in sys.modules})"
    run = run_python("-c", code)
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) & HEAVY == set()


def test_help_lists_every_command_under_its_room_and_every_exit_code() -> None:
    output = CliRunner().invoke(dayone.front_door(), ["--help"]).output
    for title, room in dayone.ROOMS.items():
        assert title in output
        for name, command in get_group(room).commands.items():
            assert command.hidden or re.search(rf"^  {name}\s", output, re.MULTILINE), name
    codes = {each.exit_code for each in vars(errors).values() if isinstance(each, type) and hasattr(each, "exit_code")}
    assert {int(code) for code in re.findall(r"^\s+(\d+)  +\S", output, re.MULTILINE)} == {0, *codes, 130}
    readme = re.search(
        r"^Exit codes: (.*?)\.", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert readme and {int(code) for code in re.findall(r"\b\d+\b", readme[1])} == {0, *codes, 130}


def test_no_two_rooms_have_a_command_of_the_same_name() -> None:
    names = [name for room in dayone.ROOMS.values() for name in get_group(room).commands]
    assert len(names) == len(set(names))


def test_version() -> None:
    result = CliRunner().invoke(dayone.front_door(), ["--version"])
    assert (result.exit_code, result.output.strip()) == (0, PYPROJECT["project"]["version"])


def test_a_deliberate_error_becomes_its_message_and_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(prog_name: str) -> None:
        raise errors.PortError("Port 9101 is in use.", hint="Give another one with --metrics-port.")

    monkeypatch.setattr(dayone, "front_door", lambda: refuse)
    with pytest.raises(SystemExit) as ended:
        dayone.main()
    assert ended.value.code == errors.PortError.exit_code
    message = capsys.readouterr().err
    assert "Port 9101 is in use." in message and "--metrics-port" in message and "Traceback" not in message


# make


def make(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make as a newcomer would: in an environment with nothing but a search path."""
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@needs_make
def test_make_alone_explains_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    output = make().stdout
    for target in phony.split():
        assert re.search(rf"^  make {target} +\w", output, re.MULTILINE), target


@needs_make
@pytest.mark.parametrize("target", ["demo", "test", "thorough", "lint", "bench"])
def test_an_old_python_is_refused_in_plain_words(target: str, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", RUN_LOCK, DEV_LOCK):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
    old.chmod(0o755)
    run = make(target, f"PYTHON={old}", folder=tmp_path)
    assert run.returncode != 0
    assert "needs Python 3.11 or newer" in run.stderr and "Python 3.9.2" in run.stderr
    assert not (tmp_path / ".venv").exists()


@needs_make
@pytest.mark.parametrize(("target", "lock"), [("demo", RUN_LOCK), ("test", DEV_LOCK)])
def test_an_installation_is_repeated_only_when_what_it_is_made_of_changed(
    target: str, lock: str, tmp_path: Path
) -> None:
    for name in ("Makefile", "pyproject.toml", RUN_LOCK, DEV_LOCK):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text("")
    for stamp in (".installed-run", ".installed-dev"):
        (tmp_path / ".venv" / stamp).write_text("")
    assert "Installing" not in make("--dry-run", target, folder=tmp_path).stdout
    later = time.time() + 10
    os.utime(tmp_path / lock, (later, later))
    assert "Installing" in make("--dry-run", target, folder=tmp_path).stdout


def test_ci_runs_the_linters_and_the_tests_and_stops_at_the_first_failure() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text("utf-8")
    assert text.startswith("#!/usr/bin/env bash\n") and "\nset -euo pipefail\n" in text
    assert text.index("\nmake lint") < text.index("\nmake test") < text.index("\nmake thorough")
    assert subprocess.run(["bash", "-n", script], timeout=60).returncode == 0


@needs_make
def test_what_one_target_leaves_out_the_other_runs() -> None:
    commands = [make("--dry-run", target).stdout.splitlines()[-1] for target in ("test", "thorough")]
    assert '-m "not thorough"' in commands[0]
    assert commands[0].replace('-m "not thorough"', "-m thorough").split() == commands[1].split()


@needs_make
def test_what_is_installed_is_compiled_whatever_the_caller_has_set(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", RUN_LOCK, DEV_LOCK):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "show.mk").write_text("include Makefile\nshow:\n\t@env\n")
    shown = make("-f", "show.mk", "show", folder=tmp_path, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH="/elsewhere").stdout
    assert "PATH=" in shown and not re.search("^PYTHON", shown, re.MULTILINE)
    steps = make("--dry-run", "demo", folder=tmp_path).stdout
    assert "-m compileall -q" in steps and ("--compile-bytecode" in steps or "-m pip install" in steps)
