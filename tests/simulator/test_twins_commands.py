"""`dayone fit` and `dayone sample`: from a file to a model to a file, and every way in which that can go wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from dayone import front_door
from personas.errors import CoreError, SettingsError, TwinError
from simulator.behaviour.artefact import save_student
from simulator.twins.ancestry import Ancestry
from simulator.twins.artefact import LINEAGE, Lineage, load
from simulator.twins.commands import (
    Wish,
    explain_model_command,
    fit_command,
    fit_core,
    sample_command,
    told,
    with_student,
)
from simulator.twins.explaining import columns_told, explained, lines_of
from simulator.twins.model import TwinModel
from tests.runs import pack_of
from tests.simulator.behaviour.test_artefact import student_of
from tests.simulator.test_twins_model import small_log


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Lineage]:
    """A core and the model of it, made once."""
    core = tmp_path_factory.mktemp("made") / "core.parquet"
    pq.write_table(small_log(), core)
    return fitted(core)


@pytest.fixture
def model_of(made: tuple[Path, Lineage], tmp_path: Path) -> Path:
    """A copy of the model, to be changed at will, with its core beside it."""
    shutil.copy(made[0].parent / "core.parquet", tmp_path)
    return Path(shutil.copytree(made[0], tmp_path / "core.twin"))


def fitted(core: Path, **options: Any) -> tuple[Path, Lineage]:
    folder = core.with_suffix(".twin")
    return folder, fit_core(Wish(str(core), **options), folder, None)


def test_a_model_says_where_it_comes_from_and_nobody_s_name(made: tuple[Path, Lineage]) -> None:
    folder, lineage = made
    model, read = load(folder)
    assert read == lineage and model.fingerprint == lineage.fingerprint
    assert (lineage.k, lineage.generation, lineage.core["users"], lineage.core["sessions"]) == (5, 1, 60, 80)
    assert lineage.core["files"][0]["name"] == "core.parquet"
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"person-" not in content and b"confess" not in content


def test_fitting_again_gives_the_same_model_and_takes_its_place(model_of: Path) -> None:
    folder, first = model_of, load(model_of)[1]
    (folder / "left over").write_text("")
    assert fitted(folder.with_suffix(".parquet"))[1].fingerprint == first.fingerprint
    assert sorted(file.name for file in folder.parent.iterdir()) == ["core.parquet", "core.twin"], "nothing beside it"
    assert not (folder / "left over").exists()


def test_the_same_seed_draws_the_same_file(
    made: tuple[Path, Lineage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, lineage = made
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        sample_command(folder, 50, tmp_path / f"{name}.parquet", seed, json_output=True)
    assert [json.loads(line)["sessions"] for line in capsys.readouterr().out.splitlines()] == [50, 50, 50]
    one, same, other = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("one", "same", "other"))
    assert one == same != other
    told = json.loads(one.schema.metadata[b"dayone"])
    assert told["synthetic"] and told["model"] == lineage.fingerprint and told["generation"] == 1


def test_a_model_of_twins_is_of_the_next_generation(made: tuple[Path, Lineage], tmp_path: Path) -> None:
    folder, lineage = made
    sample_command(folder, 80, tmp_path / "twins.parquet", 1)
    second = fitted(tmp_path / "twins.parquet")[1]
    assert second.generation == 2 and second.ancestors == (f"model {lineage.fingerprint}",)


@pytest.mark.parametrize(("teacher", "named"), [("student", True), ("prior", False), (None, False)])
def test_a_student_is_an_ancestor_where_it_taught(tmp_path: Path, teacher: str | None, named: bool) -> None:
    student, core = student_of(pack_of("shop")), Ancestry(ancestors=("run one",))
    save_student(tmp_path, student)
    model = TwinModel({}, {}, {"posterior": {"teacher": teacher} if teacher else {}})
    expected = ("run one", f"student {student.behaviour.fingerprint}") if named else ("run one",)
    assert with_student(core, model, tmp_path).ancestors == expected
    assert with_student(core, model, None) == core


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (small_log(1), "one user; a model of one user is that user"),
        (small_log(4), "4 users, and nothing is kept that fewer than 5 did"),
        (small_log(1).slice(0, 0), "there are no rows in it"),
    ],
)
def test_a_core_that_is_too_little_is_refused(tmp_path: Path, rows: pa.Table, said: str) -> None:
    pq.write_table(rows, tmp_path / "core.parquet")
    with pytest.raises((TwinError, CoreError), match=said):
        fitted(tmp_path / "core.parquet")
    assert not (tmp_path / "core.twin").exists()


def test_one_kind_of_event_is_enough(tmp_path: Path) -> None:
    table = small_log()
    table = table.set_column(3, "event", pa.array(["look"] * table.num_rows)).drop_columns(["item_id"])
    pq.write_table(table, tmp_path / "core.parquet")
    folder, _ = fitted(tmp_path / "core.parquet")
    sample_command(folder, 30, tmp_path / "twins.parquet", 1)
    twins = pq.read_table(tmp_path / "twins.parquet")
    assert set(twins["event"].to_pylist()) == {"look"} and twins["item_id"].null_count == twins.num_rows


@pytest.mark.parametrize("damage", ["array", "cut", "lineage", "format", "words", "absent"])
def test_a_damaged_model_is_refused(model_of: Path, damage: str) -> None:
    folder = model_of
    arrays = folder / "model.npz"
    if damage == "array":
        with np.load(arrays) as held:
            changed = {name: held[name] + 1 for name in held.files}
        np.savez_compressed(arrays, **changed)
    elif damage == "cut":
        arrays.write_bytes(arrays.read_bytes()[:300])
    elif damage == "lineage":
        (folder / LINEAGE).write_text('{"format": 1}')
    elif damage == "format":
        told = json.loads((folder / LINEAGE).read_text())
        (folder / LINEAGE).write_text(json.dumps({**told, "format": 99}))
    elif damage == "words":
        (folder / "words.json").write_text("{}")
    else:
        arrays.unlink()
    with pytest.raises(TwinError, match=r"core.twin") as caught:
        load(folder)
    assert caught.value.exit_code == 13 and "dayone fit" in str(caught.value)


def test_options_that_do_not_go_together_are_told(model_of: Path, tmp_path: Path) -> None:
    core = model_of.with_suffix(".parquet")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"pack": "shop", "new_pack": tmp_path / "new"}, "give one of them"),
        ({"epsilon": 0.0}, "expected more than 0"),
        ({"delta": 1e-5}, "goes with --epsilon"),
    ]
    for options, said in wrong:
        with pytest.raises(SettingsError, match=said):
            fit_command(Wish(str(core), **options))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(TwinError, match="something else"):
        fit_command(Wish(str(core), out=tmp_path / "mine"))
    with pytest.raises(TwinError, match="no such folder"):
        sample_command(tmp_path / "nowhere", 5, tmp_path / "a.parquet", 1)
    with pytest.raises(SettingsError, match="ends with .parquet"):
        sample_command(model_of, 5, tmp_path / "a.csv", 1)


def test_a_model_is_explained(made: tuple[Path, Lineage], capsys: pytest.CaptureFixture[str]) -> None:
    folder, lineage = made
    explain_model_command(folder, json_output=True)
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == lineage.fingerprint and told["behaviour"]["first"]["open"] > 0.9
    assert set(told["behaviour"]["events"]) == {"open", "look", "buy"}
    assert (
        max(told["behaviour"]["follows"]["open"], key=lambda name: told["behaviour"]["follows"]["open"][name]) == "look"
    )
    explain_model_command(folder)
    said = capsys.readouterr().out
    assert "80 sessions, 60 users" in said and "fewer than 5 users" in said and "no differential privacy" in said


def test_columns_that_twins_lack_are_told(tmp_path: Path) -> None:
    log, core = small_log(), tmp_path / "core.parquet"
    rows = log.num_rows
    more = {"colour": ["red", "blue"] * (rows // 2) + ["red"] * (rows % 2), "note": [f"text {n}" for n in range(rows)],
            "tags": [["a"]] * rows}  # fmt: skip
    pq.write_table(pa.table({**{name: log[name] for name in log.column_names}, **more}), core)
    folder, lineage = fitted(core)
    for lines in (list(told(lineage)), list(lines_of(explained(folder, 20)))):
        assert "further columns: colour" in lines
        assert "columns left out: note (most of its values belong to fewer than 5 users)" in lines
        assert "columns left out: tags (not read)" in lines
    noisy = list(columns_told(lineage.core, {**lineage.facts, "columns": [], "columns_left_out": {}}))
    assert "columns left out: colour, note (no noise covers them)" in noisy


def test_the_front_door_knows_the_commands(made: tuple[Path, Lineage], tmp_path: Path) -> None:
    runner, door = CliRunner(), front_door()
    assert runner.invoke(door, ["explain", str(made[0])]).exit_code == 0
    out = tmp_path / "twins.parquet"
    done = runner.invoke(door, ["sample", str(made[0]), "--sessions", "9", "--out", str(out), "--json"])
    assert json.loads(done.output)["sessions"] == 9 and out.is_file()
    assert runner.invoke(door, ["fit", str(tmp_path / "nowhere.csv")]).exception.exit_code == 8  # type: ignore[union-attr]


def test_names_of_items_are_kept_from_so_many_users_on_and_the_promise_says_so(tmp_path: Path) -> None:
    table = small_log()
    users, items = table["user_id"].to_pylist(), table["item_id"].to_pylist()
    rare = ["rare" if item and user in ("person-1", "person-2") else item
            for user, item in zip(users, items, strict=True)]  # fmt: skip
    pq.write_table(table.set_column(4, "item_id", pa.array(rare)), tmp_path / "core.parquet")
    runner, door = CliRunner(), front_door()
    for number, kept in (("2", True), ("3", False)):
        options = ["fit", str(tmp_path / "core.parquet"), "--out", str(tmp_path / number), "--item-names", number]
        done = runner.invoke(door, options)
        assert done.exit_code == 0 and f"items that fewer than {number} users had are replaced" in done.output
        assert ("rare" in load(tmp_path / number)[0].words["item"]) == kept


def test_near_copies_are_refused_unless_they_are_allowed(made: tuple[Path, Lineage], tmp_path: Path) -> None:
    """In this core everybody but the one with an odd event does what many do: all of it may be drawn."""
    runner, door, core = CliRunner(), front_door(), str(made[0].with_suffix(".parquet"))
    assert "all may be drawn" in runner.invoke(door, ["explain", str(made[0])]).output
    done = runner.invoke(door, ["fit", core, "--allow-near-copies", "--out", str(tmp_path / "free")])
    assert "Near copies of real sessions are not refused when" in done.output
    arrays = load(tmp_path / "free")[0].arrays
    assert "near.hashes" in load(made[0])[0].arrays and not any(name.startswith("near.") for name in arrays)
    said = ["sample", str(made[0]), "--sessions", "9", "--out", str(tmp_path / "twins.parquet"), "--json"]
    assert json.loads(runner.invoke(door, said).output)["near_copies"] == {"refused": 0, "cut": 0}


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), RuntimeError("Query interrupted")])
def test_ctrl_c_leaves_nothing_behind(
    model_of: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stopped: BaseException
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise stopped

    monkeypatch.setattr("simulator.twins.fit.fit", interrupted)
    before = sorted(model_of.parent.iterdir())
    with pytest.raises(typer.Exit) as ended:
        fit_command(Wish(str(model_of.with_suffix(".parquet")), out=model_of.parent / "new"))
    assert ended.value.exit_code == 130 and "nothing was written" in capsys.readouterr().err
    assert sorted(model_of.parent.iterdir()) == before
