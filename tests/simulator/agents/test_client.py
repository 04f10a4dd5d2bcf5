"""The client against a server of the real protocol: each fault has its kind, its count, its result and its bill."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from personas.errors import BudgetError, TutorError
from simulator.agents.budget import Budget
from simulator.agents.client import GIVE_UP_AFTER, AnthropicModel
from simulator.agents.language import Answer, Message, Request, Usage
from simulator.agents.limits import RetryPolicy
from simulator.agents.prices import shipped_prices
from simulator.agents.question import Reply, without
from tests.stub_anthropic import KEY, Fault, StubAnthropic

DECISION = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "minLength": 1, "maxLength": 80},
        "action": {"enum": ["view", "leave"]},
        "dwell": {"type": "number", "minimum": 0},
    },
    "required": ["reason", "action", "dwell"],
    "additionalProperties": False,
}
QUICK = RetryPolicy(shortest=0.002, longest=0.01, longest_retry_after=0.05)


def request(text: str = "What do you do?", model: str = "claude-haiku-5-5", **changes: Any) -> Request:
    asked = {
        "model": model, "purpose": "walk", "prompt": "walk-1", "system": "You visit a shop. " * 50,
        "context": "You are Ann.", "messages": (Message(role="user", text=text),), "schema_name": "decide",
        "answer_schema": DECISION, "max_tokens": 200,
    }  # fmt: skip
    return Request(**(asked | changes))


@pytest.fixture
def stub() -> Iterator[StubAnthropic]:
    with StubAnthropic() as running:
        yield running


def using(
    stub: StubAnthropic,
    use: Callable[[AnthropicModel], Awaitable[Any]],
    *,
    ceiling: float | None = 1.0,
    url: str | None = None,
    **options: Any,
) -> AnthropicModel:
    """Make a client, use it, and look whether its accounts are those of the server."""

    async def main() -> AnthropicModel:
        options.setdefault("policy", QUICK)
        model = AnthropicModel(
            SecretStr(options.pop("key", KEY)), shipped_prices(), Budget(ceiling), base_url=url or stub.url, **options
        )
        try:
            await use(model)
        finally:
            await model.close()
        return model

    model = asyncio.run(main())
    assert model.budget.reserved == 0
    assert model.budget.spent >= stub.dollars - 1e-12, "the bill is never higher than what we count"
    assert model.budget.unknown or model.budget.spent == pytest.approx(stub.dollars), "and only what is unknown lower"
    assert ceiling is None or model.budget.spent <= ceiling
    return model


async def fails(model: AnthropicModel, asked: Request) -> TutorError:
    with pytest.raises(TutorError) as caught:
        await model.ask(asked)
    assert KEY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", ["claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-4-5",
                                  "local/SmolLM2"])  # fmt: skip
def test_every_kind_of_model_is_asked_in_a_form_that_it_takes(stub: StubAnthropic, name: str) -> None:
    answers: list[Answer] = []

    async def use(model: AnthropicModel) -> None:
        answers.extend([await model.ask(request(model=name)), await model.ask(request("And now?", model=name))])

    model = using(stub, use)
    assert all(answer.content["action"] in ("view", "leave") for answer in answers)
    assert model.counts.calls == {"answered": 2}
    first, second = (answer.usage for answer in answers)
    assert first.cache_write_tokens > 200 and first.cache_read_tokens == 0
    assert second.cache_read_tokens == first.cache_write_tokens, "schema, system and context were cached"
    assert model.counts.tokens["cache_read"] == second.cache_read_tokens
    assert 0 < model.counts.cache_read_share < 1
    assert sum(answer.dollars for answer in answers) == pytest.approx(model.budget.spent)
    body = stub.bodies[0]
    assert [("cache_control" in block) for block in body["system"]] == [True, True]
    assert ("tools" in body) == (name == "local/SmolLM2")
    assert "temperature" not in body
    thinks = shipped_prices()[name].thinking
    assert body["max_tokens"] == (200 + 2048 if thinks == "always" else 200), "thinking counts, where it can't be off"
    assert body.get("thinking") == ({"type": thinks} if thinks in ("disabled", "between_tools") else None)


RETRIED = [
    (Fault(status=429), "rate_limited"), (Fault(status=529), "overloaded"), (Fault(status=500), "server_error"),
    (Fault(status=503), "server_error"), (Fault("cut"), "connection"), (Fault("cut_inside"), "connection"),
    (Fault("not_json"), "connection"), (Fault("slow", seconds=3), "timeout"), (Fault("prose"), "invalid_answer"),
    (Fault("wrong_schema"), "invalid_answer"), (Fault("truncated"), "truncated"),
]  # fmt: skip
MAYBE_BILLED = {"connection", "timeout"}


@pytest.mark.parametrize(("fault", "kind"), RETRIED, ids=lambda value: getattr(value, "kind", value))
def test_what_passes_is_tried_again(stub: StubAnthropic, fault: Fault, kind: str) -> None:
    stub.faults = [fault, fault]
    answers: list[Answer] = []

    async def use(model: AnthropicModel) -> None:
        answers.append(await model.ask(request()))

    model = using(stub, use, timeout_seconds=1.0 if kind == "timeout" else 10)
    assert model.counts.calls == {kind: 2, "answered": 1}
    assert model.counts.maybe_billed_twice == (2 if kind in MAYBE_BILLED else 0)
    assert (model.budget.unknown > 0) == (kind in MAYBE_BILLED)
    assert answers[0].dollars == pytest.approx(model.budget.spent - model.budget.unknown), "all tries, also lost ones"
    lengths = [body["max_tokens"] for body in stub.bodies]
    assert lengths == ([200, 400, 800] if kind == "truncated" else [200, 200, 200])


@pytest.mark.parametrize(("fault", "kind"), RETRIED, ids=lambda value: getattr(value, "kind", value))
def test_what_does_not_pass_ends_the_session(stub: StubAnthropic, fault: Fault, kind: str) -> None:
    stub.faults = [fault] * 10

    async def use(model: AnthropicModel) -> None:
        error = await fails(model, request())
        assert (error.kind, error.exit_code) == (kind, 11)
        assert error.scope == ("question" if kind == "truncated" else "session")

    tries = 3 if kind in ("invalid_answer", "truncated") else 6
    model = using(stub, use, timeout_seconds=0.1 if kind == "timeout" else 10)
    assert model.counts.calls == {kind: tries}


FINAL = [
    (Fault(status=400, message="max_tokens: too many"), "bad_request", "session"),
    (Fault(status=400, message="prompt is too long: 9 tokens > 8 maximum"), "context_overflow", "question"),
    (Fault(status=401), "authentication", "tutor"),
    (Fault(status=402), "payment", "tutor"),
    (Fault(status=403), "permission", "tutor"),
    (Fault(status=404), "not_found", "tutor"),
    (Fault(status=413), "too_large", "question"),
    (Fault(status=422), "bad_request", "session"),
    (Fault(status=307), "bad_request", "session"),
    (Fault("refusal"), "refusal", "session"),
    (Fault("window"), "context_overflow", "question"),
]


@pytest.mark.parametrize(("fault", "kind", "scope"), FINAL, ids=lambda value: str(getattr(value, "status", value)))
def test_what_cannot_pass_is_not_tried_again(stub: StubAnthropic, fault: Fault, kind: str, scope: str) -> None:
    stub.faults = [fault]

    async def use(model: AnthropicModel) -> None:
        error = await fails(model, request())
        assert (error.kind, error.scope) == (kind, scope)
        await model.ask(request())

    model = using(stub, use)
    assert model.counts.calls == {kind: 1, "answered": 1}


def test_a_wrong_key_is_said_and_not_shown(stub: StubAnthropic) -> None:
    async def use(model: AnthropicModel) -> None:
        error = await fails(model, request())
        assert error.kind == "authentication"
        assert "sk-ant-wrong" not in str(error)
        assert "Set ANTHROPIC_API_KEY" in str(error)

    using(stub, use, key="sk-ant-wrong")


def test_nobody_there_costs_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        async def use(model: AnthropicModel) -> None:
            error = await fails(model, request())
            assert error.kind == "no_connection"
            assert "127.0.0.1" in str(error)
            assert "ANTHROPIC_BASE_URL" in str(error)

        model = using(StubAnthropic(), use, url=url)
    assert (model.budget.spent, model.counts.maybe_billed_twice) == (0, 0)


def test_many_questions_without_an_answer_end_the_tutor(stub: StubAnthropic) -> None:
    stub.faults = [Fault(status=400)] * (GIVE_UP_AFTER - 1) + [None] + [Fault(status=400)] * GIVE_UP_AFTER

    async def use(model: AnthropicModel) -> None:
        scopes = [(await fails(model, request())).scope for _ in range(GIVE_UP_AFTER - 1)]
        await model.ask(request())
        scopes += [(await fails(model, request())).scope for _ in range(GIVE_UP_AFTER - 1)]
        assert set(scopes) == {"session"}
        last = await fails(model, request())
        assert last.scope == "tutor"
        assert str(last).startswith(f"{GIVE_UP_AFTER} questions in a row were not answered.")

    using(stub, use)


def test_a_burst_of_429_makes_fewer_calls_and_all_are_answered(stub: StubAnthropic) -> None:
    stub.delay = 0.01
    stub.faults = [Fault(status=429, retry_after="0.05")] * 20

    async def use(model: AnthropicModel) -> None:
        answers = await asyncio.gather(*(model.ask(request(f"step {n}")) for n in range(60)))
        assert len(answers) == 60

    model = using(stub, use, most_calls=16)
    assert model.counts.calls == {"rate_limited": 20, "answered": 60}
    assert stub.most_at_once <= 16


def test_a_retry_after_of_hours_is_capped_and_one_of_a_moment_kept(stub: StubAnthropic) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    stub.faults = [Fault(status=429, retry_after="7200"), Fault(status=529, retry_after="0.04"),
                   Fault(status=429, retry_after="Thu, 01 Jan 2026 00:00:00 GMT")]  # fmt: skip

    async def use(model: AnthropicModel) -> None:
        await model.ask(request())

    using(stub, use, sleep=sleep)
    assert 0.05 <= waits[0] <= 0.1
    assert 0.04 <= waits[1] <= 0.08
    assert waits[2] <= 0.01


@pytest.mark.parametrize("ceiling", [0.0, 0.004, 0.02])
def test_concurrent_calls_stop_at_the_ceiling(stub: StubAnthropic, ceiling: float) -> None:
    stub.delay = 0.002
    name = "claude-opus-5"

    async def use(model: AnthropicModel) -> None:
        asked = [model.ask(request(f"step {n}", model=name, max_tokens=50)) for n in range(150)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        refused = [result for result in results if isinstance(result, BudgetError)]
        assert all(isinstance(result, (Answer, BudgetError)) for result in results)
        assert refused and all((error.scope, error.exit_code) == ("tutor", 12) for error in refused)

    model = using(stub, use, ceiling=ceiling)
    one = shipped_prices()[name].most(request("step 149", model=name, max_tokens=50))
    assert model.budget.spent > ceiling - one, "and not before"


def test_a_cancelled_call_counts_in_full(stub: StubAnthropic) -> None:
    stub.faults = [Fault("slow", seconds=2)]

    async def use(model: AnthropicModel) -> None:
        call = asyncio.create_task(model.ask(request()))
        while not stub.counts["slow"] and not call.done():
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert model.budget.unknown == pytest.approx(shipped_prices()["claude-haiku-5-5"].most(request()))
        assert model.limit.active == 0

    using(stub, use)


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("model", ["claude-haiku-5-5", "local/any"])
@pytest.mark.parametrize("key", [KEY, 'a-key"with/what\\JSON-escapes'])
def test_a_server_that_echoes_the_key_gets_it_into_no_answer_and_no_error(
    stub: StubAnthropic, model: str, batches: bool, key: str
) -> None:
    wrong: list[Any] = [{"reason": {key: [key]}}, {"reason": key, "action": key, "dwell": 1}, f"x-api-key: {key}"]
    replies = [{"reason": f"I saw {key}.", "action": "view", "dwell": 1}, *wrong]
    stub.key = key
    stub.respond = lambda body: replies[int(body["messages"][0]["content"])]

    async def use(client: AnthropicModel) -> None:
        outcomes = await client.ask_many([request(str(number), model) for number in range(4)])
        answer, *errors = outcomes
        assert isinstance(answer, Answer) and answer.content["reason"] == "I saw ***."
        for error in errors:
            assert isinstance(error, TutorError) and error.kind == "invalid_answer"
            assert "***" in str(error) and key not in str(error) and repr(key)[1:-1] not in str(error)

    using(stub, use, key=key, batches=batches)


def test_what_is_no_secret_is_masked_in_no_answer() -> None:
    reply = Reply("end_turn", '{"reason": "none"}', (("decide", {"reason": "none"}),), "local/any", Usage())
    assert without("none", reply) == without("", reply) == reply
    prose = without(KEY, replace(reply, text=f"\\ I was sent {KEY}", model=KEY))
    assert (prose.text, prose.model) == ("\\ I was sent ***", "***")
