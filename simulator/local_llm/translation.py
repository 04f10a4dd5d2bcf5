"""A call of the Messages API in llama.cpp's words, and its reply back again. Plain data; knows no server and no model.

llama.cpp speaks the Messages API by itself, but passes over the name of a forced tool and over `output_config.format`,
so a small model answers as it likes. Here both become `response_format`, of which llama.cpp makes a grammar that the
model cannot leave: every answer that ends in time is JSON of the schema's shape (bounds of numbers apart).
"""

from __future__ import annotations

import json
import uuid
from typing import Any

#: A schema that is longer than this (characters) is not shown to the model as well: small ones read slowly, and the
#: grammar keeps them to it anyway.
LONGEST_SHOWN_SCHEMA = 600


class BadCallError(Exception):
    """A call that is not one of the Messages API, or one that this server cannot do. Becomes status 400."""


def wanted(body: dict[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """The tool that has to be called (None: no tool) and the schema that the answer has to fit (None: any text)."""
    choice = body.get("tool_choice") or {}
    tools = {tool["name"]: tool for tool in body.get("tools") or ()}
    if choice.get("type") == "tool" or (choice.get("type") == "any" and len(tools) == 1):
        name = choice.get("name") or next(iter(tools))
        if name not in tools:
            raise BadCallError(f"tool_choice.name: found {name!r}, expected one of {', '.join(tools) or 'the tools'}")
        return name, tools[name]["input_schema"]
    if tools:
        raise BadCallError("tools: this server only knows a forced tool (tool_choice of type tool)")
    made = (body.get("output_config") or {}).get("format")
    return None, made["schema"] if made else None


def chat_of(body: dict[str, Any], longest_text: int | None = None) -> dict[str, Any]:
    """The call as a chat completion of llama.cpp. With `longest_text` no field of the answer is longer (characters):
    small models say little in many words, and every word takes time."""
    if body.get("stream"):
        raise BadCallError("stream: this server does not stream")
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise BadCallError(f"{name}: Field required")
    tool, schema = wanted(body)
    if schema is not None and longest_text is not None:
        schema = _bounded(schema, longest_text)
    system = _text(body.get("system") or "")
    if schema is not None:
        shown = json.dumps(schema, separators=(",", ":"))
        of_schema = f" of this schema: {shown}" if len(shown) <= LONGEST_SHOWN_SCHEMA else ""
        of_tool = f" ({tool})" if tool else ""
        system = f"{system}\nAnswer with one JSON object{of_tool}{of_schema}.".lstrip()
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": part["role"], "content": _text(part["content"])} for part in body["messages"]]
    chat = {"messages": messages, "max_tokens": body["max_tokens"], "stop": body.get("stop_sequences") or []}
    if schema is not None:
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": tool or "answer", "schema": schema}}
    return chat


def _bounded(schema: Any, longest: int) -> Any:
    """The schema with free texts of at most so many characters; what fits it fits the schema that was asked for."""
    if isinstance(schema, list):
        return [_bounded(part, longest) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: part if name in ("enum", "const") else _bounded(part, longest) for name, part in schema.items()}
    if made.get("type") == "string" and not {"enum", "const", "pattern", "format"} & made.keys():
        made["maxLength"] = max(made.get("minLength", 0), min(made.get("maxLength", longest), longest))
    return made


def reply_to(body: dict[str, Any], completion: dict[str, Any], model: str) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to a call, from llama.cpp's completion or error."""
    if "error" in completion:
        return 400, error_body(400, str(completion["error"].get("message", completion["error"])))
    tool, _ = wanted(body)
    choice, usage = completion["choices"][0], completion["usage"]
    text = choice["message"].get("content") or ""
    stop = "max_tokens" if choice["finish_reason"] == "length" else "end_turn"
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if tool and stop == "end_turn":
        try:
            content = [{"type": "tool_use", "id": f"toolu_{_id()}", "name": tool, "input": json.loads(text)}]
            stop = "tool_use"
        except ValueError:
            pass  # the text says what went wrong
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return 200, {
        "id": f"msg_{_id()}", "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": stop, "stop_sequence": None,
        "usage": {
            "input_tokens": usage["prompt_tokens"] - cached, "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0, "output_tokens": usage["completion_tokens"],
        },
    }  # fmt: skip


def error_body(status: int, message: str) -> dict[str, Any]:
    """An error in the form of the Messages API."""
    kind = {400: "invalid_request_error", 404: "not_found_error", 413: "request_too_large", 529: "overloaded_error"}
    return {"type": "error", "error": {"type": kind.get(status, "api_error"), "message": message[:500]}}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block.get("type") == "text")


def _id() -> str:
    return uuid.uuid4().hex[:24]
