"""`dayone init`: a pack that works at once, in a folder where nothing was before."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personas.errors import SettingsError
from personas.help import Help, HelpText, Writes
from personas.pack import load_pack
from personas.persona import Persona
from personas.product import EventSpec, Product
from personas.scaffold import SAMPLE_NAME, TEMPLATE, create_pack, product_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("shop", "shop"),
        ("My Shop", "myshop"),
        ("2. Café Königin", "cafekonigin"),
        ("my_app-v2", "myappv2"),
        ("123", "product"),
        ("", "product"),
        ("日本", "product"),
        ("a" * 40, "a" * 24),
    ],
)
def test_names_from_folders(text: str, name: str) -> None:
    assert product_name(text) == name


@given(st.text())
def test_any_text_gives_a_name_that_a_product_may_have(text: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]{0,23}", product_name(text))


@pytest.mark.parametrize("exists", [True, False])
def test_a_new_pack_works_and_is_named_after_its_folder(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "deep" / "Kräuter & Co"
    if exists:
        folder.mkdir(parents=True)
    made = create_pack(folder)
    assert made.product.name == "krauterco"
    assert load_pack(folder).fingerprint == made.fingerprint
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "product.yaml", "catalog.csv", "help.yaml", "schema/product.schema.json", "schema/help.schema.json",
        "schema/persona.schema.json",
        "personas/first_flat.yaml", "personas/sunday_baker.yaml", "personas/weeknight_cook.yaml",
    }  # fmt: skip


def test_only_the_name_differs_from_the_template(tmp_path: Path) -> None:
    made = create_pack(tmp_path / SAMPLE_NAME)
    assert made.fingerprint == load_pack(TEMPLATE).fingerprint
    assert (tmp_path / SAMPLE_NAME / "product.yaml").read_text() == (TEMPLATE / "product.yaml").read_text()
    renamed = create_pack(tmp_path / "other").product
    assert renamed.model_copy(update={"name": SAMPLE_NAME}) == made.product


def test_editors_find_the_schemas(tmp_path: Path) -> None:
    create_pack(tmp_path / "new")
    for file in (tmp_path / "new").rglob("*.yaml"):
        first = file.read_text().splitlines()[0]
        reference = first.removeprefix("# yaml-language-server: $schema=")
        assert reference != first, f"{file.name} does not name its schema"
        schema = json.loads((file.parent / reference).read_text())
        assert schema["$id"].endswith(file.stem if file.parent.name == "new" else "persona")


def test_the_template_is_small_and_explains_every_field() -> None:
    pack = load_pack(TEMPLATE)
    assert len(pack.product.events) == 8
    assert len(pack.personas) == 3
    assert len(pack.catalog.items) == 30
    product = (TEMPLATE / "product.yaml").read_text()
    left_out = {"bag_size", "bag"}  # this product has no bag; the comments name it
    for model in (Product, EventSpec):
        for field in set(model.model_fields) - left_out:
            assert re.search(rf"^\s*{field}:", product, re.MULTILINE), f"product.yaml does not show {field}"
    persona = (TEMPLATE / "personas" / "weeknight_cook.yaml").read_text()
    for field in Persona.model_fields:
        assert re.search(rf"^{field}:", persona, re.MULTILINE), f"weeknight_cook.yaml does not show {field}"
    support = (TEMPLATE / "help.yaml").read_text()
    for part in (Help, HelpText, Writes):
        for field in part.model_fields:
            assert re.search(rf"[\s{{`]{field}:", support), f"help.yaml does not show {field}"


def test_nothing_that_exists_is_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SettingsError, match=r"is not empty \(found notes.txt\)") as caught:
        create_pack(tmp_path)
    assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(SettingsError, match="is a file, expected a folder"):
        create_pack(tmp_path / "notes.txt")
    with pytest.raises(SettingsError, match="cannot be written"):
        create_pack(tmp_path / "notes.txt" / "below")


def test_long_lists_of_what_is_there_are_cut(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}").touch()
    with pytest.raises(SettingsError, match=r"found 0, 1, 2, \.\.\."):
        create_pack(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder where not even root may write")
def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(SettingsError, match="cannot be written: ") as caught:
        create_pack(Path(f"/proc/{os.getpid()}/new"))
    assert caught.value.hint
