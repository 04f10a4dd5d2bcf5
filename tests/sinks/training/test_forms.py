"""Every form that there is, found by itself, keeps the contract of forms; and each is read by those it is made for."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from personas.errors import TrainingError
from sinks.database import Database
from sinks.training.form import Form
from sinks.training.registry import all_forms, form_of
from tests.contracts.form import NESTED, TEXTS, FormContract, made


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
