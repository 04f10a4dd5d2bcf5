"""The models that ship as fakes: any schema gets a legal answer, the same question the same one."""

from __future__ import annotations

import asyncio
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personas.errors import TutorError
from simulator.agents.fakes import RandomModel, ScriptedModel, random_instance
from simulator.agents.language import Message, Request

DECISION = {
    "type": "object",
    "$defs": {"item": {"type": "string", "enum": ["p1", "p2"]}},
    "properties": {
        "reason": {"type": "string", "minLength": 3, "maxLength": 200},
        "action": {"enum": ["view", "leave"]},
        "item": {"anyOf": [{"$ref": "#/$defs/item"}, {"type": "null"}]},
        "dwell": {"type": "number", "minimum": 0.5, "maximum": 30},
        "stars": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
        "words": {"type": "array", "items": {"type": "string", "minLength": 2}, "minItems": 1, "maxItems": 4},
        "sure": {"type": "boolean"},
        "version": {"const": 2},
        "odd": {"type": "integer", "exclusiveMinimum": 7, "exclusiveMaximum": 9},
    },
    "required": ["reason", "action", "dwell", "version"],
    "additionalProperties": False,
}


def request(**changes: Any) -> Request:
    asked = {
        "model": "claude-haiku-5-5", "purpose": "walk", "prompt": "walk-1", "system": "You visit a shop.",
        "context": "You are Ann.", "messages": (Message(role="user", text="What do you do?"),),
        "schema_name": "decide", "answer_schema": DECISION,
    }  # fmt: skip
    return Request(**(asked | changes))


@given(st.text())
def test_any_key_gives_an_instance_of_the_schema(key: str) -> None:
    jsonschema.validate(random_instance(DECISION, key), DECISION)


def test_answers_differ_by_seed_and_sample_and_by_nothing_else() -> None:
    async def answers(seed: int) -> list[dict[str, Any]]:
        model = RandomModel(seed)
        found = [(await model.ask(request(sample=sample))).content for sample in range(20)]
        assert model.asked == 20
        return found

    one, again, other = (asyncio.run(answers(seed)) for seed in (1, 1, 2))
    assert one == again != other
    assert len({str(answer) for answer in one}) == 20
    assert {answer["action"] for answer in one} == {"view", "leave"}


def test_a_keyword_that_would_be_ignored_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="pattern"):
        random_instance({"type": "string", "pattern": "^a"}, "key")


def test_a_script_is_followed() -> None:
    async def main() -> None:
        model = ScriptedModel([{"action": "view"}, TutorError("no", kind="refusal")])
        answer = await model.ask(request())
        assert (answer.content, answer.dollars) == ({"action": "view"}, 0.0)
        with pytest.raises(TutorError, match="no"):
            await model.ask(request())
        with pytest.raises(AssertionError, match="no answer left for a walk request"):
            await model.ask(request())
        assert len(model.requests) == 3
        echo = ScriptedModel(lambda asked: {"n": asked.sample})
        assert (await echo.ask(request(sample=7))).content == {"n": 7}

    asyncio.run(main())
