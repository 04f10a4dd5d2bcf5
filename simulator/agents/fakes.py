"""Language models that cost nothing and need no network: for tests, for trying things out, for machines without a key.

`RandomModel` gives any answer that fits the schema, chosen by a hash of seed and request, so the same question always
gets the same answer. `ScriptedModel` gives what it is told to give. Both count tokens roughly (four bytes each).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from simulator.agents.language import Answer, Request, Usage

Reply = Mapping[str, Any] | Exception


class RandomModel:
    """Answers with a random instance of the request's schema. Optional properties are there every second time."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.asked = 0

    async def ask(self, request: Request) -> Answer:
        """A legal answer that depends on seed and request alone."""
        self.asked += 1
        return _answer(request, random_instance(request.answer_schema, f"{self._seed}|{request.fingerprint}"))

    async def close(self) -> None:
        """Nothing to let go of."""


class ScriptedModel:
    """Gives the answers of a list in order, or those of a function of the request. An exception is raised."""

    def __init__(self, script: Iterable[Reply] | Callable[[Request], Reply]) -> None:
        self._reply = script if callable(script) else _in_order(script)
        self.requests: list[Request] = []

    async def ask(self, request: Request) -> Answer:
        """The next answer of the script."""
        self.requests.append(request)
        reply = self._reply(request)
        if isinstance(reply, Exception):
            raise reply
        return _answer(request, dict(reply))

    async def close(self) -> None:
        """Nothing to let go of."""


def random_instance(schema: Mapping[str, Any], key: str, root: Mapping[str, Any] | None = None) -> Any:
    """An instance of a JSON schema, chosen by the hash of `key`. Knows what answers are made of: object, array,
    string, integer, number, boolean, null, enum, const, anyOf, oneOf, allOf of one, $ref into $defs, lengths and
    bounds. NotImplementedError names a keyword that it would have to ignore."""
    root = root or schema
    if "$ref" in schema:
        return random_instance(_referred(schema["$ref"], root), key, root)
    if unknown := {"pattern", "not", "if", "patternProperties"} & set(schema):
        raise NotImplementedError(f"no random instance of a schema with {', '.join(sorted(unknown))}")
    if "const" in schema:
        return schema["const"]
    for choices in ("enum", "anyOf", "oneOf", "allOf"):
        if choices in schema:
            chosen = schema[choices][_number(key, choices) % len(schema[choices])]
            return chosen if choices == "enum" else random_instance(chosen, key + "|" + choices, root)
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[_number(key, "type") % len(kind)]
    return _of_kind(kind, schema, key, root)


def _of_kind(kind: str, schema: Mapping[str, Any], key: str, root: Mapping[str, Any]) -> Any:
    if kind == "object":
        required = set(schema.get("required", ()))
        return {
            name: random_instance(part, f"{key}.{name}", root)
            for name, part in schema.get("properties", {}).items()
            if name in required or _number(key, f"has {name}") % 2
        }
    if kind == "array":
        length = _between(key, schema.get("minItems", 0), schema.get("maxItems", schema.get("minItems", 0) + 2))
        return [random_instance(schema.get("items", {}), f"{key}[{place}]", root) for place in range(length)]
    if kind == "string":
        least = schema.get("minLength", 1)
        length = _between(key, least, min(schema.get("maxLength", least + 12), least + 12))
        return (hashlib.sha256(key.encode()).hexdigest() * (length // 64 + 1))[:length]
    if kind == "integer":
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        return _between(key, low, schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1))
    if kind == "number":
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0.0))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 1.0))
        return low + (high - low) * (_number(key, "share") % 9_999 + 0.5) / 9_999
    return None if kind == "null" else bool(_number(key, "bool") % 2)


def _referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def _number(key: str, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{key}|{purpose}".encode()).digest()[:8], "big")


def _between(key: str, low: int, high: int) -> int:
    return low + _number(key, "between") % (high - low + 1)


def _in_order(script: Iterable[Reply]) -> Callable[[Request], Reply]:
    replies = iter(script)

    def next_reply(request: Request) -> Reply:
        try:
            return next(replies)
        except StopIteration:
            raise AssertionError(f"the script has no answer left for a {request.purpose} request") from None

    return next_reply


def _answer(request: Request, content: dict[str, Any]) -> Answer:
    prompt = len(request.system) + len(request.context) + sum(len(part.text) for part in request.messages)
    usage = Usage(input_tokens=prompt // 4, output_tokens=len(json.dumps(content)) // 4 + 1)
    return Answer(content=content, model=request.model, usage=usage)
