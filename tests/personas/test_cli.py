"""The commands about packs: what they print for people and for programs, and how they end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from personas.cli import SHORT, app, table
from personas.errors import PackError, SettingsError
from personas.pack import load_pack, shipped_packs
from tests.personas.small_pack import PRODUCT_FILE, SmallPack

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str) -> str:
    """What a command that succeeds prints."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output, "no colour where nobody sees it"
    return result.stdout


def test_packs_are_listed() -> None:
    lines = run("packs").splitlines()
    assert lines[0].split() == ["name", "title", "personas", "events", "items", "fingerprint"]
    assert [line.split()[0] for line in lines[1:]] == list(shipped_packs())
    shop = next(line for line in lines if line.startswith("shop "))
    pack = load_pack("shop")
    assert shop.split()[-4:] == ["6", "22", "600", pack.fingerprint[:SHORT]]
    assert pack.product.title in shop


def test_packs_for_programs() -> None:
    listed = json.loads(run("packs", "--json"))
    assert [pack["name"] for pack in listed] == list(shipped_packs())
    assert all(len(pack["fingerprint"]) == 64 for pack in listed)


def test_a_valid_pack(small: SmallPack) -> None:
    shown = run("validate", str(small.folder))
    assert shown.startswith("small is valid: A small product\n")
    assert re.search(r"^  events +5$", shown, re.MULTILINE)
    assert f"fingerprint {small.load().fingerprint}" in shown
    found = json.loads(run("validate", str(small.folder), "--json"))
    assert found["valid"] is True
    assert (found["items"], found["personas"], found["fingerprint"]) == (3, 1, small.load().fingerprint)


def test_a_pack_that_is_wrong(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "start: entry", "start: begin")
    result = CliRunner().invoke(app, ["validate", str(small.folder)])
    assert isinstance(result.exception, PackError), "left to the front door"
    result = CliRunner().invoke(app, ["validate", str(small.folder), "--json"])
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    assert found["valid"] is False
    assert found["faults"] == [
        {
            "file": str(small.folder / PRODUCT_FILE),
            "line": small.fault(PRODUCT_FILE, "start:", "", "", "").line,
            "field": "start",
            "found": "'begin'",
            "expected": "a screen, one of: detail, entry, list",
        }
    ]


def test_mistakes_come_out_of_the_front_door(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "start: entry", "start: begin")
    command = [sys.executable, str(ROOT / "dayone.py"), "validate", str(small.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 3
    assert done.stdout == ""
    line = small.fault(PRODUCT_FILE, "start:", "", "", "").line
    place = (
        f"{small.folder / PRODUCT_FILE}:{line}: start: found 'begin', expected a screen, one of: detail, entry, list"
    )
    assert place in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("kind", ["product", "persona"])
def test_schemas_are_printed(kind: str) -> None:
    schema = json.loads(run("schema", kind))
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:dayone:schema:{kind}"


def test_a_kind_of_file_that_has_no_schema() -> None:
    result = CliRunner().invoke(app, ["schema", "catalogue"])
    assert result.exit_code == 2
    assert "persona" in result.stderr and "product" in result.stderr


def test_init_says_what_to_do_next(tmp_path: Path) -> None:
    folder = tmp_path / "my shop"
    shown = run("init", str(folder))
    assert shown.startswith(f"Made the pack myshop in {folder}.")
    assert f"dayone validate '{folder}'" in shown, "quoted, so that it can be pasted"
    assert "is valid" in run("validate", str(folder))
    result = CliRunner().invoke(app, ["init", str(folder)])
    assert isinstance(result.exception, SettingsError)


def test_tables_line_up() -> None:
    rows = [["a", "5", "x"], ["longer", "12", "yy"]]
    assert table(("name", "count", "end"), rows) == "name    count  end\na           5  x\nlonger     12  yy"
    assert table(("name", "count"), []) == "name  count"


def test_every_command_and_option_is_explained() -> None:
    for command in ("packs", "validate", "schema", "init"):
        shown = run(command, "--help")
        assert re.search(r"^  [A-Z].*[.:]", shown, re.MULTILINE), f"{command} has no help"


def test_the_module_is_light() -> None:
    heavy = ("duckdb", "pyarrow", "numpy", "faststream", "confluent_kafka", "kafka", "rich", "pydantic", "yaml")
    code = f"import sys, personas.cli; print(sorted({set(heavy)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr
