"""What a product may declare, and the preconditions that follow from it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from personas.product import NO_LIMIT, SOURCE_TYPES, SOURCES, Product, PropertySpec
from tests.personas.small_pack import PRODUCT_FILE, SmallPack


def test_a_property_has_exactly_one_origin() -> None:
    with pytest.raises(ValidationError, match=r"give exactly one of source, values, amount, constant \(found none\)"):
        PropertySpec(type="string")
    with pytest.raises(ValidationError, match=r"found \['source', 'constant'\]"):
        PropertySpec(type="string", source="item.id", constant="x")


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_has_one_type(source: str) -> None:
    right = SOURCE_TYPES.get(source, "string")
    for kind in ("string", "number", "integer", "boolean", "strings"):
        declared = {"type": kind, "source": source}
        if kind == right:
            assert PropertySpec.model_validate(declared).source == source
        else:
            with pytest.raises(ValidationError, match=f"source {source} has type {right}"):
                PropertySpec.model_validate(declared)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"type": "string", "source": "item.weight"}, "unknown source 'item.weight'; known: item.id"),
        ({"type": "integer", "values": {"a": 1}}, "values needs type string"),
        ({"type": "string", "values": {"a": 0}}, "weights that are not all zero"),
        ({"type": "string", "amount": {"median": 1}}, "amount needs type number or integer"),
        ({"type": "number", "amount": {"median": 0}}, "greater than 0"),
        ({"type": "integer", "constant": "1"}, "constant is not of type integer"),
        ({"type": "integer", "constant": True}, "constant is not of type integer"),
        ({"type": "boolean", "constant": 1}, "constant is not of type boolean"),
        ({"type": "strings", "constant": "a"}, "constant is not of type strings"),
    ],
)
def test_properties_that_cannot_be_filled(declared: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PropertySpec.model_validate(declared)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ({"type": "boolean", "constant": True}, True),
        ({"type": "boolean", "constant": False}, False),
        ({"type": "number", "constant": 1}, 1),
        ({"type": "string", "constant": ""}, ""),
    ],
)
def test_constants(declared: dict[str, object], value: object) -> None:
    assert PropertySpec.model_validate(declared).constant == value


@pytest.mark.parametrize("bounds", ["[3, 1]", "[-1, 2]", "-1", "[1, 2, 3]", "[1]", "yes", "1.5"])
def test_bounds_that_make_no_sense(small: SmallPack, bounds: str) -> None:
    small.change(PRODUCT_FILE, "{member: [0, 0]}", f"{{member: {bounds}}}")
    for fault in small.faults():
        assert fault.field.startswith("events.joined.requires.member")
        assert fault.line == small.fault(PRODUCT_FILE, "requires:", "", "", "").line


def minimal(**event: object) -> Product:
    """A product with one event `act`, which has the given fields."""
    return Product.model_validate(
        {
            "name": "p", "title": "P", "start": "s", "screens": {"s": {}}, "counters": {"c": 5}, "bag_size": 4,
            "events": {"act": {"on": ["s"], **event}}, "intents": {"i": {}},
            "slates": {"x": {"ranking": "newest", "size": 3, "pages": 4}},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "bounds"),
    [
        ({}, {}),
        ({"requires": {"c": 2}}, {"c": (2, NO_LIMIT)}),
        ({"requires": {"c": [0, 3]}}, {"c": (0, 3)}),
        ({"item": "slate"}, {"shown": (1, NO_LIMIT)}),
        ({"item": "focus"}, {"focus": (1, NO_LIMIT)}),
        ({"item": "bag"}, {"bag": (1, NO_LIMIT)}),
        ({"bag": "remove"}, {"bag": (1, NO_LIMIT)}),
        ({"bag": "empty"}, {"bag": (1, NO_LIMIT)}),
        ({"bag": "add", "item": "focus"}, {"bag": (0, 3), "focus": (1, NO_LIMIT)}),
        ({"slate": "x"}, {}),
        ({"slate": "x", "page": "next"}, {"shown": (1, NO_LIMIT), "page": (0, 2)}),
        ({"bag": "remove", "requires": {"bag": 3}}, {"bag": (3, NO_LIMIT)}),
        (
            {"bag": "add", "item": "focus", "requires": {"bag": [1, 2], "focus": 1}},
            {"bag": (1, 2), "focus": (1, NO_LIMIT)},
        ),
    ],
)
def test_preconditions_follow_from_what_an_event_does(
    event: dict[str, object], bounds: dict[str, tuple[int, int]]
) -> None:
    assert minimal(**event).bounds("act") == bounds


def test_what_is_declared_cannot_be_changed() -> None:
    product = minimal()
    with pytest.raises(ValidationError, match="frozen"):
        product.title = "Another"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("name: small", "name: Small Shop", "name"),
        ("name: small", f"name: {'a' * 25}", "name"),
        ("    weights: {joined: 2}", "    leave: 0", "intents.join.leave"),
        ("    weights: {joined: 2}", "    leave_after_goal: 0", "intents.join.leave_after_goal"),
        ("rate: 0.1\n    emits", "rate: 0.6\n    emits", "problems.declined.rate"),
        ('search: ["{category}"]', "search: []", "phrases.search"),
        ("funnel: [", "catalog: ../elsewhere.csv\nfunnel: [", "catalog"),
        ("size: 3}", "size: 3, exploration: 0}", "slates.things.exploration"),
        ("    on: [detail]\n    weight: 0", "    on: []\n    weight: 0", "events.join_failed.on"),
    ],
)
def test_values_out_of_range(small: SmallPack, old: str, new: str, field: str) -> None:
    small.change(PRODUCT_FILE, old, new)
    assert small.only_fault().field == field
