"""The catalogue: what a CSV file must look like, and what is said when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from personas.catalog import COLUMNS, MAX_FAULTS, MAX_ITEMS, load_catalog
from personas.errors import Fault, PackError
from tests.personas.small_pack import CATALOG, CATALOG_FILE, SmallPack

HEADER = ",".join(COLUMNS)


def faults(path: Path, text: str | bytes) -> tuple[Fault, ...]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(PackError) as caught:
        load_catalog(path)
    return caught.value.faults


def test_items_come_in_the_order_of_the_file(small: SmallPack) -> None:
    catalog = load_catalog(small.folder / CATALOG_FILE)
    assert [item.id for item in catalog.items] == ["a1", "a2", "b1"]
    assert catalog.categories == ("blue", "red")
    assert (catalog.items[1].price, catalog.items[1].launch_day) == (2.5, 3)


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    path.write_bytes(
        b"\xef\xbb\xbf" + CATALOG.replace("\n", "\r\n").replace("It is red.", '"Red, ""very""\nred"').encode()
    )
    catalog = load_catalog(path)
    assert catalog.items[0].text == 'Red, "very"\nred'
    assert len(catalog.items) == 3


@pytest.mark.parametrize(
    ("row", "field", "found", "expected"),
    [
        ("a1,Twice,red,1,0.5,0,x", "id", "'a1'", "ids that occur once (first on line 2)"),
        ("a b,Title,red,1,0.5,0,x", "id", "'a b'", "String should match pattern '^[A-Za-z0-9_-]{1,40}$'"),
        ("c1,,red,1,0.5,0,x", "title", "''", "String should have at least 1 character"),
        ("c1,Title,Red Things,1,0.5,0,x", "category", "'Red Things'",
         "String should match pattern '^[a-z][a-z0-9_]{0,47}$'"),
        ("c1,Title,red,-1,0.5,0,x", "price", "'-1'", "greater than or equal to 0"),
        ("c1,Title,red,cheap,0.5,0,x", "price", "'cheap'", "a valid number, unable to parse string as a number"),
        ("c1,Title,red,nan,0.5,0,x", "price", "'nan'", "a finite number"),
        ("c1,Title,red,1,1.2,0,x", "quality", "'1.2'", "less than or equal to 1"),
        ("c1,Title,red,1,0.5,soon,x", "launch_day", "'soon'",
         "a valid integer, unable to parse string as an integer"),
        ("c1,Title,red,1,0.5,0,x,y,z", "", "9 values", "7 values"),
    ],
)  # fmt: skip
def test_rows_that_are_wrong(tmp_path: Path, row: str, field: str, found: str, expected: str) -> None:
    path = tmp_path / "catalog.csv"
    assert faults(path, f"{CATALOG}{row}\n") == (Fault(str(path), field, found, expected, 5),)


def test_a_row_that_is_too_short(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    found = faults(path, f"{CATALOG}c1,Title,red,1,0.5\n")
    assert found == tuple(
        Fault(str(path), field, "fewer values than columns", "7 values", 5) for field in ("launch_day", "text")
    )


@pytest.mark.parametrize("header", ["id,name,category,price,quality,launch_day,text", "id;title", "", HEADER + ",x"])
def test_other_columns(tmp_path: Path, header: str) -> None:
    path = tmp_path / "catalog.csv"
    (fault,) = faults(path, f"{header}\na,A,red,1,0.5,0,x\n" if header else "")
    assert fault == Fault(str(path), "", header or "nothing", HEADER, 1)


def test_no_items(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    assert faults(path, HEADER + "\n") == (Fault(str(path), "", "no items", "at least one item"),)


def test_nothing_to_show_on_the_first_day(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    (fault,) = faults(path, HEADER + "\na,A,red,1,0.5,9,x\n")
    assert fault == Fault(str(path), "launch_day", "no item on day 0", "at least one item with launch_day 0")


def test_too_many_items(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    rows = "".join(f"i{n},T,red,1,0.5,0,\n" for n in range(MAX_ITEMS + 1))
    assert faults(path, f"{HEADER}\n{rows}") == (
        Fault(str(path), "", f"{MAX_ITEMS + 1} items", f"at most {MAX_ITEMS}"),
    )


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    (fault,) = faults(path, f'{CATALOG}c1,"Title,red,1,0.5,0,x\n')
    assert fault == Fault(str(path), "", "unexpected end of data", "CSV with quotes closed", 5)


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    found = faults(path, CATALOG.encode() + "c1,Café,red,1,0.5,0,x\n".encode("latin-1"))
    assert found == (Fault(str(path), "", "the byte 0xe9, not UTF-8", "UTF-8 text", 5),)


def test_a_file_with_nothing_right_lists_the_first_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    found = faults(path, HEADER + "\n" + "!,T,red,1,0.5,0,\n" * 100)
    assert len(found) == MAX_FAULTS + 1
    assert [fault.line for fault in found[:2]] == [2, 3]
    assert found[-1] == Fault(str(path), "", f"{100 - MAX_FAULTS} more mistakes", "none of them")
