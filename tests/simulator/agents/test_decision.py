"""Answers are untrusted: whatever JSON comes, a decision names only what was offered, and nothing is raised."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from simulator.agents.decision import REFUSALS, Decision, Refusal, read_decision
from simulator.agents.screen import LONGEST_DWELL_SECONDS, LONGEST_REASON, LONGEST_WORDS, Offer

OFFER = Offer(
    events={"open": 3, "search": 5, "leave": 9}, items={"a1": 0, "b2": 4}, categories={"red": 0, "blue": 1},
    takes=frozenset({"open"}), draws=frozenset({"search"}), writes=frozenset({"search"}),
)  # fmt: skip
NAMES = st.sampled_from(["open", "search", "leave", "a1", "b2", "red", "none", "", "no\ud800such"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | NAMES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ("reason", "action", "item", "category", "words", "dwell_seconds")
ANSWERS = st.fixed_dictionaries({}, optional={name: ANYTHING | NAMES | st.text(max_size=900) for name in FIELDS})


@given(ANYTHING | ANSWERS)
def test_whatever_comes_only_what_was_offered_is_decided(content: Any) -> None:
    found = read_decision(content, OFFER)
    if isinstance(found, Refusal):
        assert found.kind in REFUSALS and found.reason and len(found.reason) < 200
        return
    assert isinstance(found, Decision) and found.event in (3, 5, 9)
    assert found.place in ((0, 4) if found.event == 3 else (-1,))
    assert found.category in ((-1, 0, 1) if found.event == 5 else (-1,))
    assert found.dwell_ms == -1 or 1000 <= found.dwell_ms <= 1000 * LONGEST_DWELL_SECONDS
    assert found.words is None or (found.event == 5 and 0 < len(found.words) <= LONGEST_WORDS)
    assert len(found.reason) <= LONGEST_REASON
    (found.words or "").encode()
    assert (found.words or "").isprintable(), "fit for one line of a message"


def test_what_is_refused_is_said_in_words() -> None:
    refused = [
        read_decision(content, OFFER)
        for content in ([], {"action": "fly"}, {"action": "open", "item": "none"}, {"action": "open", "item": "zz"})
    ]
    assert refused == [
        Refusal("malformed", "The answer names no action."),
        Refusal("illegal_action", "The action fly is not possible here."),
        Refusal("item_missing", "open needs the id of an item on the screen."),
        Refusal("unknown_item", "There is no item zz on the screen."),
    ]
