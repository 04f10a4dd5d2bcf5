"""The rules of the Messages API that its stub keeps: what it refuses, in which words, and how tokens are counted."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from aiohttp import web

from personas.errors import SettingsError
from simulator.agents.language import Usage
from simulator.agents.prices import shipped_prices

FIELDS = {"model", "max_tokens", "messages", "system", "tools", "tool_choice", "output_config", "thinking", "metadata",
          "stop_sequences", "stream", "service_tier"}  # fmt: skip
NO_FORCED_TOOLS = re.compile(r"claude-(opus-5-5|sonnet-5-5|fable-5-1|mythos-5-1)")
NO_FORMAT_KEYWORDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength",
                      "maxItems", "multipleOf", "pattern"}  # fmt: skip
ERRORS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 500: "api_error",
    529: "overloaded_error",
}  # fmt: skip


class Wrong(Exception):
    """What the real server would refuse."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def check_parameters(body: dict[str, Any]) -> None:
    """Raise Wrong, as the real server does."""
    if unknown := set(body) - FIELDS:
        raise Wrong(f"{sorted(unknown)[0]}: Extra inputs are not permitted")
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise Wrong(f"{name}: Field required")
    try:
        shipped_prices()[body["model"]]
    except SettingsError:
        raise Wrong(f"model: {body['model']}", 404) from None
    if not body["messages"] or body["messages"][0]["role"] != "user" or body["messages"][-1]["role"] != "user":
        raise Wrong("messages: the conversation must begin and end with a user message")
    if any(not part["content"] for part in body["messages"]):
        raise Wrong("messages: text content blocks must be non-empty")
    if sum(len(part["content"]) for part in body["messages"]) > 4_000_000:
        raise Wrong("prompt is too long: more than 1000000 tokens")
    if any("cache_control" in block and not block["text"] for block in body.get("system") or []):
        raise Wrong("system: cache_control cannot be set for empty text blocks")
    choice = (body.get("tool_choice") or {}).get("type")
    if choice in ("tool", "any") and NO_FORCED_TOOLS.match(body["model"]):
        raise Wrong("tool_choice: forced tool use is not supported on this model")
    if choice in ("tool", "any") and (body.get("thinking") or {}).get("type") == "adaptive":
        raise Wrong("Thinking may not be enabled when tool_choice forces tool use.")
    made = ((body.get("output_config") or {}).get("format") or {}).get("schema")
    if made is not None and (found := sorted(NO_FORMAT_KEYWORDS & _keywords(made))):
        raise Wrong(f"output_config.format.schema: {found[0]} is not supported")


def _keywords(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {name for part in schema for name in _keywords(part)}
    if not isinstance(schema, dict):
        return set()
    named = {**schema.get("properties", {}), **schema.get("$defs", {})}
    rest = [part for name, part in schema.items() if name not in ("properties", "$defs", "enum", "const")]
    return set(schema) | _keywords(list(named.values())) | _keywords(rest)


def count_tokens(body: dict[str, Any], output: int, cached: set[str]) -> dict[str, int]:
    """Tokens, four bytes each, with a prompt cache: what stands before a mark is read when it is among those cached,
    else written and put there."""
    read = written = 0
    sent = json.dumps([body.get("tools"), (body.get("output_config") or {}).get("format")])
    counted = 0
    for block in body.get("system") or []:
        sent += block["text"]
        if "cache_control" in block:
            key, tokens = hashlib.sha256(sent.encode()).hexdigest(), len(sent.encode()) // 4
            if key in cached:
                read, written = tokens, 0
            else:
                cached.add(key)
                written = tokens - read
            counted = tokens
    everything = len((sent + json.dumps(body["messages"])).encode()) // 4
    return {"input_tokens": everything - counted, "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written, "output_tokens": min(output, body["max_tokens"])}  # fmt: skip


def usage_of(usage: dict[str, int]) -> Usage:
    """Counted tokens in the client's words."""
    return Usage(
        input_tokens=usage["input_tokens"], output_tokens=usage["output_tokens"],
        cache_read_tokens=usage["cache_read_input_tokens"], cache_write_tokens=usage["cache_creation_input_tokens"],
    )  # fmt: skip


def error_body(status: int, message: str) -> dict[str, Any]:
    """An error as the server words it."""
    return {"type": "error", "error": {"type": ERRORS.get(status, "api_error"), "message": message},
            "request_id": "req_stub"}  # fmt: skip


def error(status: int, message: str, retry_after: str | None = None) -> web.Response:
    """An error as a response."""
    headers = {"request-id": "req_stub"} | ({"retry-after": retry_after} if retry_after else {})
    return web.json_response(error_body(status, message), status=status, headers=headers)
