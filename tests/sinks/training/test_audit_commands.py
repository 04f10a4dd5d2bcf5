"""`dayone keys`, `build` and `audit` together, on a file, as somebody types them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dayone import front_door
from sinks.store import Store
from tests.runs import identity_of, pack_of, records_of, store_records, tell_of_run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a store; the settings are its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYONE_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("DAYONE_OPENLINEAGE", "file:lineage.jsonl")
    with Store.open("dayone.duckdb") as store:
        store_records(store, pack_of("shop"), list(records_of("shop", users=60, days=6)))
        tell_of_run(store, identity_of("shop", users=60), days=6)
    return tmp_path


def run(line: str, code: int = 0) -> str:
    """What a command prints; it ends with this code."""
    result = CliRunner().invoke(front_door(), shlex.split(line))
    assert result.exit_code == code, result.output
    return result.output


def told(line: str) -> Any:
    return json.loads(run(f"{line} --json"))


def test_from_a_key_to_a_set_that_is_checked_shown_and_made_again(folder: Path) -> None:
    key = told("keys new")["key"]
    assert told("keys show")["key"] == key
    built = told("build next_event")
    assert built["signed"]
    directory = built["directory"]
    verdict = told(f"audit verify {directory} --store dayone.duckdb --public-key keys --repeat")
    assert verdict["whole"]
    assert verdict["signed_by"] == key
    row = told(f"audit show {directory} 0 --store dayone.duckdb")
    assert row["persona"]
    assert row["events"]
    report = told(f"audit report {directory}")
    assert report["integrity"]["signed_by"] == key
    assert "# Provenance of shop-next_event" in run(f"audit report {directory}")

    again = told(f"{report['reproduce'].removeprefix('dayone ')} --out again")
    assert again["version"] == built["version"]
    for path in Path(directory).rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (Path(again["directory"]) / path.relative_to(directory)).read_bytes(), path
    lines = [json.loads(line) for line in run("audit log --json").splitlines()]
    assert [line["action"] for line in lines] == ["run", *(["gate", "build"] * 2)]
    assert "the chain is whole" in run("audit log")
    lineage = [json.loads(line)["eventType"] for line in Path("lineage.jsonl").read_text().splitlines()]
    assert lineage == ["START", "COMPLETE"] * 2


def test_what_was_changed_ends_with_ten(folder: Path) -> None:
    built = told("build next_event")
    assert not built["signed"]
    assert "unsigned" in run(f"audit verify {built['directory']}", 10)
    run(f"audit verify {built['directory']} --store dayone.duckdb")
    (Path(built["directory"]) / "README.md").write_text("Nothing to see here.")
    assert "README.md: the file was changed" in run(f"audit verify {built['directory']} --unsigned", 10)
    with Store.open("dayone.duckdb") as store:
        store.query("UPDATE audit_log SET who = 'nobody' WHERE sequence = 1")
    assert "entry 1 of the audit log" in run("audit log", 10)


def test_a_failed_build_leaves_no_entry_and_tells_the_lineage(folder: Path) -> None:
    run("build next_event")
    run("build next_event", 8)
    assert len(run("audit log --json").splitlines()) == 3
    assert "FAIL" in Path("lineage.jsonl").read_text()
