"""Columns of views: what is picked, joined and copied is the same text, whatever form it came in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from simulator.views import alone, lengths, pick, viewed

#: Twelve bytes are the most that a view holds in itself.
TEXTS = ["", "zwölf", "twelve bytes", "thirteen byte", "x" * 1000]
BYTES = [text.encode() for text in TEXTS]
FORMS = {
    "python": BYTES,
    "strings": pa.array(TEXTS),
    "bytes": pa.array(BYTES),
    "views of strings": pa.array(TEXTS, pa.string_view()),
    "views of bytes": pa.array(BYTES, pa.binary_view()),
    "a slice": pa.array(["before", *TEXTS, "after"]).slice(1, len(TEXTS)),
    "a dictionary": pa.DictionaryArray.from_arrays(pa.array([1, 2, 3, 4, 5]), pa.array(["unused", *TEXTS])),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_viewed(form: str) -> None:
    column: Any = viewed(FORMS[form])
    assert column.to_pylist() == BYTES
    assert lengths(column).tolist() == [len(text) for text in BYTES]


def test_rows_are_picked_from_several_columns_joined() -> None:
    column = pa.concat_arrays([viewed(FORMS[form]) for form in FORMS])
    rows = np.random.default_rng(1).permutation(len(column))
    assert pick(column, rows).to_pylist() == [BYTES[row % len(BYTES)] for row in rows.tolist()]
    part = pick(column, rows).slice(3, 20)
    assert pick(part, np.array([19, 0])).to_pylist() == [BYTES[rows[22] % len(BYTES)], BYTES[rows[3] % len(BYTES)]]
    assert lengths(part).tolist() == [len(BYTES[row % len(BYTES)]) for row in rows[3:23].tolist()]


def test_texts_alone_are_the_same_without_those_beside_them() -> None:
    column = viewed(pa.array(["y" * 1_000_000, *TEXTS]))
    assert alone(column.slice(1)).to_pylist() == BYTES
    assert alone(column.slice(1)).get_total_buffer_size() < 10_000


def test_no_texts() -> None:
    empty = viewed([])
    assert len(pick(empty, np.zeros(0, dtype=np.int64))) == 0 and lengths(empty).tolist() == []
