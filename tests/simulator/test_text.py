"""JSON in columns says the same, row by row, as Python would, at every border of what is made once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from simulator import text
from simulator.encode import alike

#: More rows than are joined at a time.
MANY = 20_000


def test_columns_constants_and_pairs_are_joined_row_by_row() -> None:
    rows = np.arange(MANY)
    names = text.quoted(["short", "zwölf \" \\ signs", "long enough to stand apart"])
    found = text.join("{", text.look_up(names, rows % 3), (":", text.integers(rows)), "}").to_pylist()
    python = ["short", "zwölf \" \\ signs", "long enough to stand apart"]
    assert found == [f"{{{json.dumps(python[row % 3], ensure_ascii=False)}:{row}}}" for row in range(MANY)]
    assert text.join("a", "b", count=3).to_pylist() == ["ab"] * 3
    assert text.join("a", text.fragments([])).to_pylist() == []


@pytest.mark.parametrize("values", [[0, 9, 9_999], [9_999, 10_000], [-1, 5], [2**40], []])
def test_integers(values: list[int]) -> None:
    assert text.integers(np.array(values, dtype=np.int64)).to_pylist() == [str(value) for value in values]


def test_decimal_fractions() -> None:
    values = np.array([0, 5, 99, 1234, 123_456_789])
    assert text.join(text.fixed(values, 2)).to_pylist() == ["0.00", "0.05", "0.99", "12.34", "1234567.89"]
    assert text.join(text.fixed(values, 3)).to_pylist() == ["0.000", "0.005", "0.099", "1.234", "123456.789"]


def test_lists_of_any_length() -> None:
    counts = np.array([0, 3, 1, 0, 0, 2])
    items = text.integers(np.arange(6)), text.fragments([f'"{letter * 20}"' for letter in "abcdef"])
    found = text.lists(items, counts, "n:").to_pylist()
    rows = [f'n:{number}"{letter * 20}"' for number, letter in enumerate("abcdef")]
    assert found == ["[]", f"[{','.join(rows[:3])}]", f"[{rows[3]}]", "[]", "[]", f"[{','.join(rows[4:])}]"]
    assert text.lists([text.fragments([])], np.array([0, 0])).to_pylist() == ["[]", "[]"]
    assert text.lists([text.fragments([])], np.array([], dtype=np.int64)).to_pylist() == []


def test_instants() -> None:
    start = datetime(2026, 2, 27, 23, 59, 58, 999_000, tzinfo=UTC)
    instants = np.array([0, 1, 1001, 86_400_000, 3 * 86_400_000 + 12_345_678], dtype=np.int64)
    wanted = [(start + timedelta(milliseconds=each)).isoformat(timespec="milliseconds") for each in instants.tolist()]
    assert text.Calendar(start).text(instants).to_pylist() == [each.replace("+00:00", "Z") for each in wanted]
    assert text.Calendar(start).text(instants[:0]).to_pylist() == []


def test_rows_that_stand_for_others_are_the_same() -> None:
    rows = np.random.default_rng(1).integers(-1, 3, (MANY, 4)).astype(np.int32)
    first, same = alike(rows)
    assert (rows[first][same] == rows).all()
    assert len(first) < len(rows) / 10
    assert all(len(part) == 0 for part in alike(rows[:0]))
