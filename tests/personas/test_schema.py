"""The JSON Schemas: editors accept what we accept, and see the common mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from personas.pack import SHIPPED, shipped_packs
from personas.scaffold import TEMPLATE
from personas.schema import DIALECT, KINDS, Kind, json_schema
from personas.source import read_yaml

FOLDERS = [*(SHIPPED / name for name in shipped_packs()), TEMPLATE]


def validator(kind: Kind) -> Draft202012Validator:
    return Draft202012Validator(json_schema(kind))


def data_of(path: Path) -> Any:
    """The file's data as JSON has it."""
    return json.loads(json.dumps(read_yaml(path)[0]))


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_valid_and_name_themselves(kind: Kind) -> None:
    schema = json_schema(kind)
    Draft202012Validator.check_schema(schema)
    assert (schema["$schema"], schema["$id"]) == (DIALECT, f"urn:dayone:schema:{kind}")
    assert schema["title"] == f"Dayone {kind}"
    assert schema["description"], "an editor shows what the file is for"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_packs_that_ship_fit_the_schemas(folder: Path) -> None:
    for kind in ("product", "help"):
        assert list(validator(kind).iter_errors(data_of(folder / f"{kind}.yaml"))) == []
    files = sorted((folder / "personas").glob("*.yaml"))
    assert files
    for file in files:
        assert list(validator("persona").iter_errors(data_of(file))) == [], file.name


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"wieght": 1}, []),
        ({"name": "Not A Name"}, ["name"]),
        ({"screens": {"Entry": {}}}, ["screens"]),
        ({"bag_size": "8"}, ["bag_size"]),
        ({"events": {"a": {"on": ["s"], "requires": {"bag": -1}}}}, ["events", "a", "requires", "bag"]),
        ({"events": {"a": {"on": ["s"], "requires": {"bag": [1, 2, 3]}}}}, ["events", "a", "requires", "bag"]),
        ({"events": {"a": {"on": ["s"], "item": "basket"}}}, ["events", "a", "item"]),
    ],
)
def test_mistakes_are_seen(change: dict[str, Any], where: list[str]) -> None:
    data = data_of(TEMPLATE / "product.yaml") | change
    assert [list(error.absolute_path) for error in validator("product").iter_errors(data)] == [where]


@pytest.mark.parametrize("requires", [1, 0, [0, 0], [1, 3]])
def test_bounds_may_be_a_number_or_a_pair(requires: Any) -> None:
    data = data_of(TEMPLATE / "product.yaml") | {"events": {"a": {"on": ["s"], "requires": {"bag": requires}}}}
    assert validator("product").is_valid(data)
