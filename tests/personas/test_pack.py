"""Packs: where they are found, what they are made of, and the fingerprint of their content."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from personas.catalog import Catalog
from personas.errors import Fault, PackError
from personas.pack import SHIPPED, Pack, load_pack, locate, shipped_packs
from personas.persona import Persona
from personas.product import Product
from personas.scaffold import TEMPLATE
from personas.source import read_yaml
from tests.personas.small_pack import CATALOG_FILE, PERSONA, PERSONA_FILE, PRODUCT_FILE, SmallPack


def test_a_pack_by_name_and_by_folder(small: SmallPack) -> None:
    assert locate("shop") == SHIPPED / "shop"
    assert locate(small.folder) == locate(str(small.folder)) == small.folder
    pack = small.load()
    assert pack.folder == small.folder
    assert [persona.name for persona in pack.personas] == ["visitor"]
    assert [item.id for item in pack.catalog.items] == ["a1", "a2", "b1"]


@pytest.mark.parametrize("reference", ["nowhere", "no/where", "a\0b", "x" * 5000])
def test_a_pack_that_does_not_exist(reference: str) -> None:
    with pytest.raises(PackError, match="there is no pack") as caught:
        load_pack(reference)
    (fault,) = caught.value.faults
    assert "shop" in fault.expected
    assert caught.value.hint == "Make one with: dayone init DIR"


def test_a_folder_without_a_product(small: SmallPack) -> None:
    (small.folder / PRODUCT_FILE).unlink()
    assert small.only_fault().found == "no product.yaml in it"


def test_a_file_is_no_pack(small: SmallPack) -> None:
    with pytest.raises(PackError, match=r"found a file, expected a folder with product\.yaml"):
        load_pack(small.folder / PRODUCT_FILE)


def test_no_personas(small: SmallPack) -> None:
    (small.folder / PERSONA_FILE).unlink()
    nobody = Fault(str(small.folder / "personas"), "", "no personas", "at least one .yaml file")
    assert small.only_fault() == nobody
    (small.folder / "personas").rmdir()
    assert small.only_fault() == nobody


def test_two_personas_of_one_name(small: SmallPack) -> None:
    small.change(PERSONA_FILE, "share: 1", "share: 0.5")
    small.write("personas/z.yml", PERSONA.replace("share: 1", "share: 0.5"))
    expected = f"a name that {small.folder / PERSONA_FILE} does not have"
    assert small.only_fault() == small.fault("personas/z.yml", "name: visitor", "name", "'visitor'", expected)


def test_faults_of_all_files_come_together(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "start: entry\n", "strat: entry\n")
    small.change(PERSONA_FILE, "churn: 0.1", "churn: 2")
    small.change(CATALOG_FILE, "a2,", "a1,")
    faults = small.faults()
    assert [(Path(fault.file).name, fault.field) for fault in faults] == [
        ("product.yaml", "strat"),
        ("visitor.yaml", "churn"),
        ("catalog.csv", "id"),
    ]
    assert faults[0].expected == "start, which is missing"


def test_a_truncated_product(small: SmallPack) -> None:
    text = small.read(PRODUCT_FILE)
    small.write(PRODUCT_FILE, text[: text.index("[0, 0]") + 3])
    fault = small.only_fault()
    last = small.read(PRODUCT_FILE).count("\n") + 1
    assert (fault.line, fault.field, fault.expected) == (last, "", "valid YAML")
    assert fault.found.startswith("broken YAML (while parsing a flow")


def test_a_product_cut_between_two_lines_misses_fields(small: SmallPack) -> None:
    text = small.read(PRODUCT_FILE)
    small.write(PRODUCT_FILE, text[: text.index("intents:")])
    assert small.only_fault() == small.fault(PRODUCT_FILE, "name: small", "intents", "nothing", "this field")


def test_a_huge_file(small: SmallPack) -> None:
    small.write(PERSONA_FILE, b"#" * (10 * 1024 * 1024))
    assert small.only_fault().found == "10485760 bytes"


@pytest.mark.parametrize("name", shipped_packs())
def test_packs_that_ship_are_as_rich_as_promised(name: str) -> None:
    pack = load_pack(name)
    assert pack.product.name == name
    assert len(pack.personas) >= 5
    assert math.isclose(sum(persona.share for persona in pack.personas), 1)
    assert len(pack.catalog.items) >= 500
    titles = [item.title for item in pack.catalog.items]
    assert len(set(titles)) == len(titles)
    assert all(re.search(r"\w{3,}.*[.!?]$", item.text) for item in pack.catalog.items)
    assert pack.product.problems
    assert pack.product.conversion in pack.product.funnel
    for what in ("story", "voice", "activity", "intents", "traits", "sessions_per_week"):
        values = [str(getattr(persona, what)) for persona in pack.personas]
        assert len(set(values)) == len(values), f"two personas with the same {what}"


def content(folder: Path) -> dict[str, Any]:
    """The data of a pack's files as read."""
    files = sorted((folder / "personas").glob("*.yaml"))
    return {"product": read_yaml(folder / "product.yaml")[0], "personas": [read_yaml(file)[0] for file in files]}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all single values."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path


def replaced(value: Any, path: tuple[Any, ...], change: Any) -> Any:
    if not path:
        return change(value)
    if isinstance(value, dict):
        return {key: replaced(inner, path[1:], change) if key == path[0] else inner for key, inner in value.items()}
    return [replaced(inner, path[1:], change) if index == path[0] else inner for index, inner in enumerate(value)]


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1 if isinstance(value, int) and value > 1 else value * 0.75 + 0.123
    return f"{value}x"


def changed(model: type[BaseModel], data: Any) -> Iterator[BaseModel]:
    """The model with one value changed, for each value that can be changed by itself."""
    tried = taken = 0
    for path in leaves(data):
        tried += 1
        try:
            yield model.model_validate(replaced(data, path, other))
        except ValidationError:
            continue
        taken += 1
    assert taken > 0.6 * tried, f"only {taken} of {tried} values could be changed"


def test_every_value_is_in_the_fingerprint() -> None:
    pack, data = load_pack(TEMPLATE), content(TEMPLATE)
    seen = {pack.fingerprint}
    count = 1
    for product in changed(Product, data["product"]):
        assert isinstance(product, Product)
        seen.add(Pack(product, pack.personas, pack.catalog, pack.folder).fingerprint)
        count += 1
    first = pack.personas[0].model_dump()
    for persona in changed(Persona, first):
        assert isinstance(persona, Persona)
        seen.add(Pack(pack.product, (persona, *pack.personas[1:]), pack.catalog, pack.folder).fingerprint)
        count += 1
    for catalog in changed(Catalog, {"items": [item.model_dump() for item in pack.catalog.items[:2]]}):
        assert isinstance(catalog, Catalog)
        seen.add(Pack(pack.product, pack.personas, catalog, pack.folder).fingerprint)
        count += 1
    assert count > 200
    assert len(seen) == count


def test_the_folder_is_not_in_the_fingerprint(small: SmallPack, tmp_path: Path) -> None:
    assert SmallPack(tmp_path / "elsewhere").load().fingerprint == small.load().fingerprint


def shuffled(value: Any, draw: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key], draw) for key in draw(st.permutations(list(value)))}
    return [shuffled(inner, draw) for inner in value] if isinstance(value, list | tuple) else value


def test_order_comments_and_style_are_not_in_the_fingerprint(small: SmallPack) -> None:
    fingerprint, read = small.load().fingerprint, content(small.folder)

    @settings(max_examples=25, deadline=None)
    @given(data=st.data(), comment=st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=20))
    def rewrite(data: st.DataObject, comment: str) -> None:
        style = data.draw(st.sampled_from((None, True, False)))
        for name, value in ((PRODUCT_FILE, read["product"]), (PERSONA_FILE, read["personas"][0])):
            text = yaml.safe_dump(shuffled(value, data.draw), sort_keys=False, default_flow_style=style)
            small.write(name, f"# {comment}\n{text}\n# {comment}\n")
        assert small.load().fingerprint == fingerprint

    rewrite()
