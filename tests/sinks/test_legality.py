"""Legality: a legal session has no violations, and each kind of violation is found where it is planted, and only there.

The product here is made up for the test: a bag, pages, a counter with both signs, an event that does not tell its item.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from personas.product import Product
from sinks.legality import KINDS, Violation, violations
from sinks.store import MEMORY, Store
from tests.runs import PACKS, pack_of, stored

Step = tuple[str, dict[str, Any]]
LISTED = {"type": "strings", "source": "slate.items"}
ITEM = {"type": "string", "source": "item.id"}
PRODUCT = Product.model_validate(
    {
        "name": "tiny", "title": "Tiny", "item_property": "thing", "start": "door", "bag_size": 2,
        "counters": {"coins": 2, "ticket": 1},
        "screens": {name: {} for name in ("door", "room", "shelf")},
        "slates": {"wall": {"ranking": "popular", "size": 3, "pages": 3}},
        "events": {
            "entered": {
                "on": ("door",), "to": "room", "slate": "wall", "clear": ("focus",), "properties": {"all": LISTED},
            },
            "turned": {"on": ("room",), "slate": "wall", "page": "next", "properties": {"list": LISTED}},
            "taken": {
                "on": ("room",), "to": "shelf", "item": "slate",
                "properties": {"thing": ITEM, "place": {"type": "integer", "source": "position"}},
            },
            "touched": {"on": ("shelf",), "item": "focus", "properties": {"thing": ITEM}},
            "nodded": {"on": ("shelf",), "item": "focus"},
            "kept": {"on": ("shelf",), "item": "focus", "bag": "add", "properties": {"thing": ITEM}},
            "dropped": {"on": ("shelf", "room"), "item": "bag", "bag": "remove", "properties": {"thing": ITEM}},
            "emptied": {"on": ("shelf",), "bag": "empty"},
            "back": {"on": ("shelf",), "to": "room", "clear": ("focus",)},
            "earned": {"on": ("room",), "effects": {"coins": 1}},
            "spent": {"on": ("room",), "requires": {"coins": 1}, "effects": {"coins": -1}},
            "stamped": {"on": ("room",), "requires": {"ticket": (0, 0)}, "effects": {"ticket": 1}},
            "torn": {"on": ("room",), "requires": {"ticket": 1}, "clear": ("ticket",)},
        },
        "intents": {"look": {}},
    }
)  # fmt: skip

LEGAL: list[Step] = [
    ("entered", {"all": ["a", "b", "c"]}),
    ("turned", {"list": ["d", "e", "f"]}),
    ("earned", {}),
    ("earned", {}),
    ("earned", {}),  # at its limit of 2: no effect
    ("spent", {}),
    ("spent", {}),
    ("stamped", {}),
    ("torn", {}),
    ("stamped", {}),
    ("taken", {"thing": "e", "place": 2}),
    ("touched", {"thing": "e"}),
    ("kept", {"thing": "e"}),
    ("back", {}),
    ("taken", {"thing": "f", "place": 3}),
    ("nodded", {}),
    ("kept", {"thing": "f"}),
    ("dropped", {"thing": "f"}),
    ("touched", {"thing": "f"}),
    ("kept", {"thing": "f"}),
    ("dropped", {"thing": "f"}),
    ("dropped", {"thing": "e"}),
    ("touched", {"thing": "e"}),
    ("kept", {"thing": "e"}),
    ("emptied", {}),
    ("back", {}),
]


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open(MEMORY) as opened:
        yield opened


def write(
    store: Store, steps: list[Step], *, session: str = "u1-0", user: str = "u1", run: str = "run", start: int = 0,
    sequences: list[int] | None = None, seconds: list[int] | None = None,
) -> None:  # fmt: skip
    """A session, one event every 10 seconds from `start` (seconds) on."""
    begin = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=start)
    for place, (kind, properties) in enumerate(steps):
        sequence = sequences[place] if sequences else place
        time = begin + timedelta(seconds=seconds[place] if seconds else 10 * place)
        store.query(
            "INSERT INTO events VALUES (?, ?, 'tiny', ?, ?, ?, ?, ?, ?, true, 'prior', 1, ?, 0, 0)",
            [f"{session}.{sequence}", run, session, sequence, user, time, kind, properties.get("thing"),
             json.dumps(properties)],
        )  # fmt: skip


def found(store: Store, run: str = "run") -> list[Violation]:
    return violations(store.query, PRODUCT, run)


def test_a_legal_session_has_none(store: Store) -> None:
    write(store, LEGAL)
    write(store, LEGAL, session="u1-1", start=1000)
    assert found(store) == []


def replaced(place: int, step: Step) -> list[Step]:
    return [*LEGAL[:place], step, *LEGAL[place + 1 :]]


def inserted(place: int, *steps: Step) -> list[Step]:
    return [*LEGAL[:place], *steps, *LEGAL[place:]]


PLANTED: list[tuple[str, list[Step], tuple[int, str, str]]] = [
    ("an event of no product", inserted(3, ("danced", {})), (3, "unknown event", "danced")),
    ("an empty bag is emptied", inserted(2, ("emptied", {})), (2, "counter bag", "0")),
    ("on another screen", inserted(2, ("back", {})), (2, "screen", "room")),
    ("before the first screen", [("earned", {})], (0, "screen", "door")),
    ("an item that is not shown", replaced(14, ("taken", {"thing": "a", "place": 1})), (14, "slate item", "a")),
    ("an item at another place", replaced(10, ("taken", {"thing": "e", "place": 1})), (10, "slate position", "1")),
    ("a place past the list", replaced(10, ("taken", {"thing": "e", "place": 9})), (10, "slate position", "9")),
    ("an item of the page before", replaced(10, ("taken", {"thing": "b", "place": 2})), (10, "slate item", "b")),
    ("nothing is shown", replaced(1, ("turned", {"list": []})), (10, "counter shown", "0")),
    ("an item not in focus", replaced(11, ("touched", {"thing": "f"})), (11, "item in focus", "f")),
    ("nothing is in focus", replaced(10, ("entered_shelf", {})), (10, "unknown event", "entered_shelf")),
    ("the bag is full", inserted(17, ("kept", {"thing": "f"})), (17, "counter bag", "2")),
    ("the bag is empty", inserted(10, ("dropped", {"thing": "f"})), (10, "counter bag", "0")),
    ("the bag was emptied", inserted(25, ("dropped", {"thing": "e"})), (25, "counter bag", "0")),
    ("not the newest of the bag", replaced(17, ("dropped", {"thing": "e"})), (17, "item in bag", "e")),
    ("a coin too many spent", inserted(7, ("spent", {})), (7, "counter coins", "0")),
    ("a ticket stamped twice", inserted(8, ("stamped", {})), (8, "counter ticket", "1")),
    ("a ticket torn twice", inserted(9, ("torn", {})), (9, "counter ticket", "0")),
    ("a page past the last", inserted(2, *2 * [("turned", {"list": ["e"]})]), (3, "counter page", "2")),
]


@pytest.mark.parametrize(("steps", "expected"), [plant[1:] for plant in PLANTED], ids=[plant[0] for plant in PLANTED])
def test_what_is_planted_is_found(store: Store, steps: list[Step], expected: tuple[int, str, str]) -> None:
    write(store, LEGAL, session="u0-0", user="u0")
    write(store, steps)
    first = found(store)[0]
    assert first.session_id == "u1-0" and first.user_id == "u1"
    assert (first.sequence, first.kind, first.found) == expected
    assert first.type == steps[expected[0]][0]


def test_without_focus_nothing_can_be_touched(store: Store) -> None:
    taken: Step = ("taken", {"thing": "a", "place": 1})
    write(store, [("entered", {"all": ["a"]}), taken, ("back", {}), ("touched", {"thing": "a"})])
    assert {(v.sequence, v.kind, v.found) for v in found(store)} == {(3, "screen", "room"), (3, "counter focus", "0")}


def test_gaps_and_duplicates_in_the_sequence(store: Store) -> None:
    write(store, [LEGAL[0], LEGAL[1], LEGAL[2]], sequences=[0, 1, 3])
    write(store, [LEGAL[0], LEGAL[2], LEGAL[2]], session="u2-0", user="u2", sequences=[0, 1, 1])
    write(store, [LEGAL[0]], session="u3-0", user="u3", sequences=[1])
    assert [(v.session_id, v.sequence, v.kind) for v in found(store)] == [
        ("u1-0", 3, "sequence"), ("u2-0", 1, "sequence"), ("u3-0", 1, "sequence"),
    ]  # fmt: skip


def test_time_does_not_run_backwards(store: Store) -> None:
    write(store, [LEGAL[0], LEGAL[1], LEGAL[2]], seconds=[0, 20, 19])
    assert [(v.sequence, v.kind) for v in found(store)] == [(2, "time")]


def test_sessions_of_a_user_do_not_overlap(store: Store) -> None:
    write(store, LEGAL[:4], session="u1-0")
    write(store, LEGAL[:4], session="u1-1", start=30)
    write(store, LEGAL[:4], session="u2-0", user="u2", start=15)
    assert [(v.session_id, v.sequence, v.kind) for v in found(store)] == [("u1-1", 0, "overlap")]


def test_a_long_first_session_hides_no_overlap_with_a_later_one(store: Store) -> None:
    write(store, LEGAL, session="u1-0")  # 260 seconds
    write(store, LEGAL[:2], session="u1-1", start=100)
    write(store, LEGAL[:2], session="u1-2", start=200)
    write(store, LEGAL[:2], session="u1-3", start=300)
    assert [v.session_id for v in found(store)] == ["u1-1", "u1-2"]


def test_only_the_run_that_is_asked_for_is_judged(store: Store) -> None:
    write(store, [("earned", {})], run="other")
    write(store, LEGAL)
    assert found(store) == []
    assert [v.kind for v in found(store, "other")] == ["screen"]


def test_every_kind_is_planted_somewhere() -> None:
    planted = {kind.split(" ")[0] if kind.startswith("counter") else kind for _, _, (_, kind, _) in PLANTED}
    assert planted | {"sequence", "time", "overlap"} == set(KINDS)


@pytest.mark.parametrize("name", PACKS)
def test_runs_of_shipped_packs_are_legal(name: str) -> None:
    store, run_id = stored(name, users=300, days=20)
    assert store.query("SELECT count(*) AS n FROM events").to_pylist()[0]["n"] > 5000
    assert violations(store.query, pack_of(name).product, run_id) == []


@pytest.mark.parametrize("name", PACKS)
def test_a_run_with_every_tenth_event_left_out_is_not_legal(name: str) -> None:
    """The query is not blind to real runs: without some of its events, a run breaks many rules."""
    store, run_id = stored(name, users=300, days=20)
    store.query("BEGIN")
    try:
        store.query("DELETE FROM events WHERE sequence % 10 = 4")
        store.query("UPDATE events SET sequence = sequence - sequence // 10 - CAST(sequence % 10 > 4 AS INTEGER)")
        kinds = {violation.kind for violation in violations(store.query, pack_of(name).product, run_id)}
    finally:
        store.query("ROLLBACK")
    assert "screen" in kinds and "slate item" in kinds and "sequence" not in kinds
