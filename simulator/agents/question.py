"""A request in the words of the Messages API, and a reply as our answer. Plain data in, plain data out; knows no SDK.

How an answer of a given schema is got: an output format (`output_config.format`) where the model knows it, because
the provider then keeps the model to the schema while it writes, thinking does not interfere, and the newest models
refuse a forced tool; a forced tool call elsewhere, which every server of this protocol understands somehow. Which one
a model gets is in models.yaml. Whatever came is checked against the schema again: a format guarantees less than a
schema can say (no bounds, no lengths), and other servers guarantee nothing.

What can be cached goes first and is marked: the schema (a tool or format stands before all else), `system`, `context`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator

from simulator.agents.faults import CONTEXT_OVERFLOW, INVALID_ANSWER, REFUSAL, TRUNCATED, Failure
from simulator.agents.language import Request, Usage
from simulator.agents.prices import ModelEntry

MASK = "***"
#: What people write where a server of their own wants no key ("none") is no secret, and may be a word of an answer.
SHORTEST_SECRET = 8
_CACHED = {"cache_control": {"type": "ephemeral"}}
_THINKING: dict[str, dict[str, Any]] = {
    "disabled": {"thinking": {"type": "disabled"}},
    "between_tools": {"thinking": {"type": "between_tools"}},
}


@dataclass(frozen=True)
class Reply:
    """What a server sent: why it stopped, the text, the inputs of tool calls by name, and what it counted."""

    stop_reason: str | None
    text: str
    tools: tuple[tuple[str, Any], ...]
    model: str
    usage: Usage


def parameters_of(
    request: Request, entry: ModelEntry, adapted: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """The body of a Messages API call. `adapted` makes of a schema what output formats accept (the SDK knows)."""
    system = [{"type": "text", "text": text, **_CACHED} for text in (request.system, request.context) if text]
    parameters: dict[str, Any] = {
        "model": request.model,
        "max_tokens": entry.max_tokens(request),
        "messages": [{"role": part.role, "content": part.text} for part in request.messages],
        **({"system": system} if system else {}),
        **_THINKING.get(entry.thinking, {}),
    }
    output: dict[str, Any] = {"effort": entry.effort} if entry.effort else {}
    if entry.answer == "format":
        schema = json.loads(_adapted(json.dumps(request.answer_schema), adapted))
        output = {**output, "format": {"type": "json_schema", "schema": schema}}
    else:
        parameters["tools"] = [{"name": request.schema_name, "input_schema": request.answer_schema}]
        choice = {"type": "tool", "name": request.schema_name, "disable_parallel_tool_use": True}
        parameters["tool_choice"] = choice
    return parameters | ({"output_config": output} if output else {})


def content_of(request: Request, reply: Reply) -> dict[str, Any] | Failure:
    """The answer in a reply, which fits the request's schema; or why there is none."""
    if reply.stop_reason == "refusal":
        return Failure(REFUSAL, "the model refused to answer this")
    if reply.stop_reason == "max_tokens":
        return Failure(TRUNCATED, f"the answer is longer than {request.max_tokens} tokens")
    if reply.stop_reason == "model_context_window_exceeded":
        return Failure(CONTEXT_OVERFLOW, "the prompt fills the model's window")
    found: Any = next((given for name, given in reply.tools if name == request.schema_name), None)
    if found is None:
        try:
            found = json.loads(reply.text)
        except ValueError:
            return Failure(INVALID_ANSWER, f"found {reply.text[:80]!r}, expected one JSON object")
    fault = next(_validator(json.dumps(request.answer_schema)).iter_errors(found), None)
    if fault is not None or not isinstance(found, dict):
        place = f"{fault.json_path}: {fault.message[:200]}" if fault else f"found {str(found)[:80]!r}"
        return Failure(INVALID_ANSWER, f"the answer does not fit the schema {request.schema_name}: {place}")
    return found


def without(secret: str, reply: Reply) -> Reply:
    """The reply with the secret masked wherever it may be read, stored or quoted: some servers echo what they got.
    JSON can write one text in many ways, so where there are escapes it is read before it is masked."""
    if len(secret) < SHORTEST_SECRET:
        return reply
    text = reply.text.replace(secret, MASK)
    if "\\" in text:
        try:
            found = json.loads(text)
        except ValueError:
            pass
        else:
            text = text if (masked := _masked(secret, found)) == found else json.dumps(masked)
    tools = tuple((name, _masked(secret, given)) for name, given in reply.tools)
    return replace(reply, text=text, tools=tools, model=str(reply.model).replace(secret, MASK))


def _masked(secret: str, value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(secret, MASK)
    if isinstance(value, list):
        return [_masked(secret, part) for part in value]
    if isinstance(value, dict):
        return {_masked(secret, name): _masked(secret, part) for name, part in value.items()}
    return value


def sum_of(one: Usage, other: Usage) -> Usage:
    """The tokens of two calls."""
    mine, theirs = one.model_dump(), other.model_dump()
    return Usage(**{name: number + theirs[name] for name, number in mine.items()})


def with_more_room(request: Request) -> Request:
    """The same question with twice the room for the answer."""
    return request.model_copy(update={"max_tokens": request.max_tokens * 2})


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


@lru_cache(maxsize=256)
def _adapted(schema: str, adapted: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    return json.dumps(adapted(json.loads(schema)))
