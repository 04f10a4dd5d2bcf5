"""Situations agree with playing: whatever a session does, it stays inside the situations that were found beforehand.

The reference is a tiny interpreter that knows counters as plain numbers and nothing of levels: it reads legality and
effects off the declaration again, in its own words. Random small products are played at random on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from personas.checks import trapped
from personas.pack import load_pack, shipped_packs
from personas.product import BUILT_IN_COUNTERS, Product
from personas.situations import MAX_SITUATIONS, Situations

SCREENS, COUNTERS, SLATES = ("s0", "s1", "s2"), {"c0": 1, "c1": 3}, ("x", "y")


@dataclass
class Session:
    """The reference: one session, with its counters as numbers."""

    product: Product
    screen: str = ""
    counters: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.screen = self.product.start
        self.counters = dict.fromkeys(("focus", "shown", "bag", "page", *self.product.counters), 0)

    def legal(self, name: str) -> bool:
        event, now = self.product.events[name], self.counters
        holds = [self.screen in event.on]
        holds += [low <= now[counter] <= high for counter, (low, high) in event.requires.items()]
        if event.item:
            holds.append(now["shown" if event.item == "slate" else event.item] > 0)
        if event.bag == "add":
            holds.append(now["bag"] < self.product.bag_size)
        elif event.bag:
            holds.append(now["bag"] > 0)
        if event.slate and event.page == "next":
            holds.append(now["shown"] > 0 and now["page"] + 1 < self.product.slates[event.slate].pages)
        return all(holds)

    def play(self, name: str, shown: int) -> None:
        event, now = self.product.events[name], self.counters
        now["bag"] = 0 if event.bag == "empty" else now["bag"] + {"add": 1, "remove": -1}.get(event.bag or "", 0)
        if event.slate:
            now["page"] = now["page"] + 1 if event.page == "next" else 0
            now["shown"] = shown
        for counter, most in self.product.counters.items():
            now[counter] = max(0, min(most, now[counter] + event.effects.get(counter, 0)))
            if counter in event.clear:
                now[counter] = 0
        now["focus"] = 1 if event.item else 0 if "focus" in event.clear else now["focus"]
        self.screen = event.to or self.screen

    def situation(self, situations: Situations) -> int:
        levels = tuple(
            sum(self.counters[counter] >= cut for cut in cuts)
            for counter, cuts in zip(situations.counters, situations.thresholds, strict=True)
        )
        return situations.number(situations.screens.index(self.screen), levels)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    item = draw(st.sampled_from((None, None, "slate", "focus", "bag")))
    slate = draw(st.sampled_from((None, *SLATES)))
    bounds = st.one_of(st.integers(0, 4), st.tuples(st.integers(0, 2), st.integers(2, 4)))
    return {
        "on": draw(st.lists(st.sampled_from(SCREENS), min_size=1, max_size=3, unique=True)),
        "to": draw(st.sampled_from((None, *SCREENS))),
        "weight": draw(st.sampled_from((1, 1, 1, 0))),
        "requires": draw(st.dictionaries(st.sampled_from((*BUILT_IN_COUNTERS, *COUNTERS)), bounds, max_size=2)),
        "effects": draw(st.dictionaries(st.sampled_from(tuple(COUNTERS)), st.integers(-3, 3), max_size=2)),
        "clear": draw(st.lists(st.sampled_from(("focus", *COUNTERS)), max_size=1)),
        "item": item,
        "bag": draw(st.sampled_from((None, "remove", "empty", *(["add", "add"] if item else [])))),
        "slate": slate,
        "page": draw(st.sampled_from(("first", "next"))) if slate else "first",
    }  # fmt: skip


@st.composite
def products(draw: st.DrawFn) -> Product:
    declared = draw(st.lists(events(), min_size=1, max_size=7))
    names = [f"e{number}" for number in range(len(declared))]
    problem = st.fixed_dictionaries(
        {
            "at": st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True),
            "rate": st.just(0.1),
            "emits": st.sampled_from((None, *names)),
            "empties_slate": st.booleans(),
        }
    )
    problems = draw(st.lists(problem, max_size=2))
    return Product.model_validate(
        {
            "name": "p", "title": "P", "start": draw(st.sampled_from(SCREENS)),
            "screens": {name: {"leave": draw(st.sampled_from((0, 1)))} for name in SCREENS},
            "counters": COUNTERS, "bag_size": draw(st.integers(1, 3)),
            "events": dict(zip(names, declared, strict=True)), "intents": {"i": {}},
            "slates": {
                name: {"ranking": "newest", "size": draw(st.integers(1, 4)), "pages": draw(st.integers(1, 4))}
                for name in SLATES
            },
            "problems": {f"p{number}": problem for number, problem in enumerate(problems)},
        }
    )  # fmt: skip


def walk(situations: Situations, choose: Callable[[int], int], steps: int) -> int:
    """Play one session on both sides; `choose(n)` picks a number below n. Returns how many events were played."""
    product = situations.product
    session = Session(product)
    for step in range(steps):
        now = session.situation(situations)
        assert now in situations.moves, f"a situation that was not foreseen: {session.screen} {session.counters}"
        legal = {name for name in product.events if session.legal(name)}
        assert legal == {name for name in product.events if situations.legal(now, name)}
        willing = sorted(name for name in legal if product.events[name].weight > 0)
        assert set(willing) <= set(situations.moves[now])
        if not willing:
            return step
        attempted = event = willing[choose(len(willing))]
        struck = [problem for problem in product.problems.values() if attempted in problem.at]
        problem = [*struck, None, None][choose(len(struck) + 2)]
        if problem and problem.emits:
            if session.legal(problem.emits):
                event = problem.emits
            else:
                problem = None
        slate = product.slates.get(product.events[event].slate or "")
        shown = 1 + choose(slate.size) if slate and not (problem and problem.empties_slate) else 0
        session.play(event, shown)
        after = session.situation(situations)
        assert after in situations.moves[now][event], f"{event} led to {session.screen} {session.counters}"
    return steps


@settings(max_examples=150, deadline=None)
@given(product=products(), data=st.data())
def test_random_sessions_of_random_products_stay_inside(product: Product, data: st.DataObject) -> None:
    situations = Situations(product)
    assume(situations.count <= MAX_SITUATIONS)
    walk(situations, lambda n: data.draw(st.integers(0, n - 1)) if n > 1 else 0, 12)


@pytest.mark.parametrize("name", shipped_packs())
def test_random_sessions_of_shipped_packs_stay_inside(name: str) -> None:
    situations = Situations(load_pack(name).product)

    @settings(max_examples=40, deadline=None)
    @given(numbers=st.binary(min_size=4000, max_size=4000))
    def play(numbers: bytes) -> None:
        rest = (int.from_bytes(numbers[at : at + 4]) for at in range(0, len(numbers), 4))
        assert walk(situations, lambda n: next(rest) % n, 200) > 0

    play()


def test_levels_are_the_thresholds_that_events_name() -> None:
    product = Product.model_validate(
        {
            "name": "p", "title": "P", "start": "a", "screens": {"a": {}}, "counters": {"c": 5}, "intents": {"i": {}},
            "events": {
                "up": {"on": ["a"], "effects": {"c": 2}},
                "few": {"on": ["a"], "requires": {"c": [0, 2]}},
                "many": {"on": ["a"], "requires": {"c": 4}},
            },
        }
    )  # fmt: skip
    situations = Situations(product)
    counter = situations.counters.index("c")
    assert situations.thresholds[counter] == (3, 4)
    assert [situations.values(counter, level) for level in range(3)] == [(0, 2), (3, 3), (4, 5)]
    assert situations.count == 3
    assert [situations.split(number) for number in range(3)] == [(0, (0, 0, 0, 0, level)) for level in range(3)]
    assert [number for number in range(3) if situations.legal(number, "few")] == [0]
    assert [number for number in range(3) if situations.legal(number, "many")] == [2]
    assert situations.moves[0]["up"] == (0, 1, 2), "from 0, 1 or 2 to 2, 3 or 4"
    assert trapped(situations) == set()


def test_a_slate_of_one_page_has_no_next() -> None:
    product = Product.model_validate(
        {
            "name": "p", "title": "P", "start": "a", "screens": {"a": {}}, "intents": {"i": {}},
            "slates": {"x": {"ranking": "newest", "size": 2, "pages": 1}},
            "events": {"show": {"on": ["a"], "slate": "x"}, "more": {"on": ["a"], "slate": "x", "page": "next"}},
        }
    )  # fmt: skip
    assert product.bounds("more")["page"] == (0, -1)
    assert not any("more" in moved for moved in Situations(product).moves.values())


def test_an_emptied_slate_of_another_event_is_foreseen() -> None:
    """A problem that puts another event in the place of the attempted one and shows nothing there."""
    product = Product.model_validate(
        {
            "name": "p", "title": "P", "start": "a", "screens": {"a": {}}, "intents": {"i": {}},
            "slates": {"x": {"ranking": "newest", "size": 2}},
            "events": {
                "show": {"on": ["a"], "slate": "x"},
                "fail": {"on": ["a"], "slate": "x", "weight": 0},
                "open": {"on": ["a"], "item": "slate"},
            },
            "problems": {"p": {"at": ["show"], "rate": 0.1, "emits": "fail", "empties_slate": True}},
        }
    )  # fmt: skip
    situations = Situations(product)
    shown = [situations.split(number)[1][1] for number in situations.moves[situations.start]["fail"]]
    assert shown == [0], "nothing is shown after it"
    assert {situations.split(number)[1][1] for number in situations.moves[situations.start]["show"]} == {1}
