"""Requests: what their fingerprint is made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from personas.provenance import fingerprint
from simulator.agents.language import Message, Request

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
MESSAGES = st.builds(Message, role=st.sampled_from(["user", "assistant"]), text=TEXTS)
SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.builds(
        Request, model=TEXTS, purpose=st.sampled_from(["walk", "plan"]), prompt=TEXTS, system=TEXTS, context=TEXTS,
        messages=st.lists(MESSAGES, max_size=3).map(tuple), schema_name=TEXTS,
        answer_schema=st.dictionaries(TEXTS, SCHEMAS, max_size=3), max_tokens=st.integers(1, 10_000),
        sample=st.integers(0, 2**60),
    )
)  # fmt: skip
def test_the_fingerprint_is_that_of_the_canonical_form(request: Request) -> None:
    assert request.fingerprint == fingerprint(request.model_dump(mode="json", exclude={"purpose", "prompt"}))
