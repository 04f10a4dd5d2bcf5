"""Whatever stands in a pack's files, loading gives a pack or a PackError, soon, and never another exception.

Pure noise seldom gets past the first check, so most of what is tried here are valid files with damage: pieces cut
out, doubled, or put in from a list of what YAML, CSV and numbers are known to stumble over.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personas.catalog import COLUMNS
from personas.errors import PackError
from tests.personas.small_pack import (
    CATALOG,
    CATALOG_FILE,
    PERSONA,
    PERSONA_FILE,
    PRODUCT,
    PRODUCT_FILE,
    SmallPack,
)

QUICK = settings(max_examples=80, deadline=10_000)  # milliseconds each, on a machine that is busy
TOKENS = (
    "{", "}", "[", "]", ":", ": ", "- ", "? ", "|", ">", "&a ", "*a", "!!python/object:os.system ", "!x ",
    "%YAML 9.9\n",
    "---\n", "...\n", "<<: ", "#", "'", '"', "\t", "\n", "\r", "\0", "\x85", "\u2028", "\ufeff", "\ud7ff", "\U0010ffff",
    '"\\ud800"', '"\\x00"', ".inf", "-.inf", ".nan", "1e999", "0x_", "0b_", "0o8", "1:99", "2026-13-45", "9" * 5000,
    "-1", "0", "1_0", "~", "null", "yes", "=", ",", ",,", ";", "nan", "\N{ARABIC-INDIC DIGIT FIVE}", "leave", "bag",
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from((0, 0, 1, 1, 5, 40, 10_000))))
        put_in = draw(st.one_of(st.sampled_from(TOKENS), st.text(max_size=5), st.just(text[start:end] * 2)))
        text = text[:start] + put_in + text[end:]
    return text


def loads_or_says_why(small: SmallPack, name: str, text: bytes) -> None:
    small.write(name, text)
    try:
        fingerprint = small.load().fingerprint
    except PackError as error:
        assert error.faults
        assert all(fault.found and fault.expected for fault in error.faults)
        str(error).encode("utf-8")
    else:
        assert len(fingerprint) == 64


FILES = pytest.mark.parametrize(
    ("name", "valid"), [(PRODUCT_FILE, PRODUCT), (PERSONA_FILE, PERSONA), (CATALOG_FILE, CATALOG)]
)


@FILES
def test_any_bytes(small: SmallPack, name: str, valid: str) -> None:
    assert small.read(name) == valid

    @QUICK
    @given(noise=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode())))
    def noisy(noise: bytes) -> None:
        loads_or_says_why(small, name, noise)

    noisy()


@FILES
def test_damaged_files(small: SmallPack, name: str, valid: str) -> None:
    @QUICK
    @given(text=damaged(valid))
    def harmed(text: str) -> None:
        loads_or_says_why(small, name, text.encode("utf-8", "surrogatepass"))

    harmed()


def test_any_data_in_the_place_of_a_field(small: SmallPack) -> None:
    anything = st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(10**400)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
        max_leaves=6,
    )
    lines = PRODUCT.splitlines()

    @QUICK
    @given(number=st.integers(0, len(lines) - 1), data=anything)
    def misplaced(number: int, data: object) -> None:
        head, colon, _ = lines[number].partition(":")
        text = "\n".join([*lines[:number], f"{head}{colon} {json.dumps(data)}", *lines[number + 1 :]])
        loads_or_says_why(small, PRODUCT_FILE, text.encode())

    misplaced()


def test_any_row(small: SmallPack) -> None:
    cell = st.one_of(
        st.sampled_from(("a1", "0", "-1", "1e400", "nan", "", "red", "1.0", "9" * 400)), st.text(max_size=6)
    )

    @QUICK
    @given(rows=st.lists(st.lists(cell, max_size=9), max_size=4))
    def odd(rows: list[list[str]]) -> None:
        table = "\n".join([",".join(COLUMNS), *(",".join(row) for row in rows)])
        loads_or_says_why(small, CATALOG_FILE, table.encode("utf-8", "surrogatepass"))

    odd()
