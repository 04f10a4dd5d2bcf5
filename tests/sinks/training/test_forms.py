"""Every form that there is, found by itself, keeps the contract of forms; and each is read by those it is made for."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from personas.errors import TrainingError
from sinks.database import Database
from sinks.training.form import Form
from sinks.training.registry import all_forms, form_of
from tests.contracts.form import COUNT, MOMENT, NESTED, NUMBERS, TABULAR, TEXTS, FormContract, made


class TestEveryForm(FormContract):
    @pytest.fixture(params=all_forms().values(), ids=all_forms().keys())
    def form(self, request: pytest.FixtureRequest) -> Form:
        return request.param


@pytest.fixture
def database() -> Database:
    return FormContract.database.__wrapped__(None)  # type: ignore[attr-defined]


def test_csv_is_what_others_read(database: Database, tmp_path: Path) -> None:
    rows = made(tmp_path / "rows", NESTED)
    part = form_of("csv").write(database, rows, tmp_path)[0]
    with (tmp_path / part.path).open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["words"] for row in found] == ["" if text == "null" else text for text in TEXTS]
    assert found[0]["time"] == "2026-01-01T12:30:15.123456Z"
    assert [row["trail"] for row in found[:4]] == ["", "[]", "[null]", '["plain",null,"x"]']
    assert {row["first"] for row in found} == {"true", "false", ""}


def test_json_lines_are_what_others_read(database: Database, tmp_path: Path) -> None:
    rows = made(tmp_path / "rows", NESTED)
    part = form_of("jsonl").write(database, rows, tmp_path)[0]
    found = [json.loads(line) for line in (tmp_path / part.path).read_text("utf-8").split("\n")[:-1]]
    assert [row["words"] for row in found] == [None if text == "null" else text for text in TEXTS]
    assert found[3]["turns"] == [{"speaker": "user", "words": ""}]
    assert found[0]["time"] == "2026-01-01T12:30:15.123456Z"
    assert list(found[0]) == [column.name for column in NESTED]


def test_an_unknown_form_names_those_that_there_are() -> None:
    with pytest.raises(TrainingError, match=r"no form 'jsonlines'.*parquet(.|\n)*Did you mean jsonl"):
        form_of("jsonlines")


def test_numpy_holds_numbers_with_their_names_beside(database: Database, tmp_path: Path) -> None:
    rows = made(tmp_path / "rows", TABULAR)
    parts = form_of("numpy").write(database, rows, tmp_path)
    beside = json.loads((tmp_path / "features.json").read_text("utf-8"))
    assert [each["name"] for each in beside["features"]] == ["amount", "steps", "total", "first", "words", "last_seen"]
    with np.load(tmp_path / parts[-1].path, allow_pickle=False) as arrays:
        amount, _, _, first, words, last_seen = arrays["features"].T
        np.testing.assert_array_equal(amount, [np.nan if number is None else number for number in NUMBERS])
        np.testing.assert_array_equal(first[:4], [1, 0, np.nan, 0])
        assert last_seen[1] == MOMENT.timestamp() - 0.123456
        assert arrays["labels"].shape == (COUNT, 2)
        assert arrays["time"][0] == np.datetime64("2026-01-01T12:30:15.123456")
        assert arrays["weight"].dtype == np.float64
        categories = beside["features"][4]
        assert categories["categories"][int(words[-1])] == "seen by the test alone"
        assert words[-1] >= categories["in_train"], "a code that training cannot have seen"
        assert np.isnan(words[TEXTS.index("null")])
    assert beside["labels"][1]["categories"] == ["buy", "look"]


def test_libsvm_is_what_scikit_learn_reads(database: Database, tmp_path: Path) -> None:
    from sklearn.datasets import load_svmlight_file

    rows = made(tmp_path / "rows", TABULAR)
    parts = form_of("libsvm").write(database, rows, tmp_path)
    names = json.loads((tmp_path / "features.json").read_text("utf-8"))["indexes"]
    for part in parts:
        matrix, labels = load_svmlight_file(str(tmp_path / part.path), n_features=len(names), zero_based=False)
        known = pq.read_table(tmp_path / "rows" / Path(part.path).with_suffix(".parquet")).to_pylist()
        assert labels.tolist() == [float(row["reached"]) for row in known]
        assert [dict(_held(names, line)) for line in matrix.toarray()] == [dict(_expected(row)) for row in known]
        weights = (tmp_path / f"{part.path}.weight").read_text().split("\n")[:-1]
        assert [float(weight) for weight in weights] == [row["weight"] for row in known]


def _held(names: list[str], line: np.ndarray) -> list[tuple[str, float]]:
    return [(name, value) for name, value in zip(names, line.tolist(), strict=True) if value]


def _expected(row: dict) -> list[tuple[str, float]]:  # type: ignore[type-arg]
    found: list[tuple[str, float]] = []
    for name in ("amount", "steps", "total", "first", "words", "last_seen"):
        value = row[name]
        if value is None:
            found.append((f"{name} is null", 1.0))
        elif name == "words":
            found.append((f"words={value}", 1.0))
        elif name == "last_seen":
            found.append((name, value.timestamp()))
        elif float(value):
            found.append((name, float(value)))
    return found


def test_libsvm_leaves_rows_without_a_label_out(database: Database, tmp_path: Path) -> None:
    columns = tuple(column for column in TABULAR if column.name != "reached")
    parts = form_of("libsvm").write(database, made(tmp_path / "rows", columns), tmp_path)
    with_label = sum(i % 3 != 2 for i in range(COUNT))
    for part in parts:
        lines = (tmp_path / part.path).read_text("utf-8").split("\n")[:-1]
        assert part.rows == len(lines) == with_label
        assert {line.split()[0] for line in lines} == {"0.0", "1.0"}, "codes of buy and look"


def test_tabular_forms_refuse_what_is_no_table(tmp_path: Path) -> None:
    for name in ("numpy", "libsvm"):
        assert "trail is a list" in form_of(name).objection(NESTED)
        assert "no label" in form_of(name).objection([each for each in TABULAR if each.role != "label"])


def test_recbole_is_what_its_loader_expects(database: Database, tmp_path: Path) -> None:
    form = form_of("recbole")
    assert "no item_id" in form.objection(TABULAR)
    rows = made(tmp_path / "rows", FormContract().interactions(NESTED[:6] + NESTED[6:8] + NESTED[9:]))
    form.write(database, rows, tmp_path)
    folder = tmp_path / "data" / "nasty"
    config = yaml.safe_load((folder / "nasty.yaml").read_text("utf-8"))
    assert config["dataset"] == folder.name
    for file, name in (("inter", "nasty.train.inter"), ("user", "nasty.user"), ("item", "nasty.item")):
        header, *lines = (folder / name).read_text("utf-8").split("\n")[:-1]
        typed = [column.split(":") for column in header.split("\t")]
        assert [name for name, _ in typed] == config["load_col"][file]
        assert {kind for _, kind in typed} <= {"token", "token_seq", "float", "float_seq"}
        for line in lines:
            assert line.count("\t") == len(typed) - 1
            for (_, kind), value in zip(typed, line.split("\t"), strict=True):
                if kind.startswith("float"):
                    [float(number) for number in value.split()]
    known = [line.split("\t") for line in (folder / "nasty.train.inter").read_text("utf-8").split("\n")]
    assert len(known) - 2 == 2 * COUNT
    first = dict(zip(known[0], known[4], strict=True))
    assert first["user_id:token"] == "shop-abc/utrain3"
    assert first["trail:token_seq"] == "plain x"
    assert first["item_id:token"] == "a  quote "
    assert float(first["timestamp:float"]) == pytest.approx(MOMENT.replace(day=4).timestamp(), abs=1e-6)
    assert (folder / "nasty.item").read_text("utf-8").split("\n")[2].startswith("p2\tTwo mugs\tmugs\t\t0.25")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_huggingface_is_what_load_dataset_reads(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    import datasets

    rows = made(tmp_path / "rows", NESTED, splits=("train", "train", "valid"))
    form_of("huggingface").write(database, rows, tmp_path / "set")
    declared = datasets.load_dataset_builder(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache")).info
    loaded = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 2 * COUNT, "validation": COUNT}
    table = pq.read_table(rows.paths("train")[0])
    assert loaded["train"].features.arrow_schema.equals(table.schema)
    assert declared.features == loaded["train"].features, "the card says the same as the files"
    assert {name: split.num_examples for name, split in declared.splits.items()} == {
        "train": 2 * COUNT, "validation": COUNT,
    }  # fmt: skip
    read = loaded["train"].with_format("arrow")[:COUNT]
    assert pa.table(read).to_pylist() == table.to_pylist()
