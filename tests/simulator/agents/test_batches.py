"""Message batches: half the price, results in any order, whatever fails, whoever is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from personas.errors import BudgetError, TutorError
from simulator.agents.budget import Budget
from simulator.agents.client import AnthropicModel
from simulator.agents.fakes import RandomModel
from simulator.agents.language import Answer, Request
from simulator.agents.limits import RetryPolicy
from simulator.agents.many import ask_many
from simulator.agents.prices import shipped_prices
from simulator.agents.recordings import FILE, Recordings
from simulator.agents.replay import RecordedModel
from tests.simulator.agents.test_recordings import request, told
from tests.stub_anthropic import KEY, Fault, StubAnthropic

QUICK = RetryPolicy(shortest=0.002, longest=0.01, longest_retry_after=0.05)
OUTCOMES = list[Answer | TutorError]


@pytest.fixture
def stub() -> Iterator[StubAnthropic]:
    with StubAnthropic() as running:
        yield running


def asking(
    stub: StubAnthropic,
    requests: list[Request],
    *,
    ceiling: float | None = 1.0,
    folder: Path | None = None,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> tuple[OUTCOMES, AnthropicModel]:
    """Ask them all as batches; the server's bill and our accounts are the same."""

    async def no_wait(_: float) -> None:
        await asyncio.sleep(0)

    async def main() -> tuple[OUTCOMES, AnthropicModel]:
        client = AnthropicModel(SecretStr(KEY), shipped_prices(), Budget(ceiling), base_url=stub.url, batches=True,
                                policy=QUICK, sleep=sleep or no_wait)  # fmt: skip
        model = client if folder is None else RecordedModel(client, Recordings(folder / FILE), "auto")
        try:
            return await ask_many(model, requests), client
        finally:
            await model.close()

    return asyncio.run(main())


def test_a_batch_costs_half_and_its_results_find_their_questions(stub: StubAnthropic) -> None:
    stub.respond = lambda body: {"action": "view", "n": int(body["messages"][0]["content"])}
    requests = [
        request(sample).model_copy(
            update={"messages": (request().messages[0].model_copy(update={"text": str(sample)}),)}
        )
        for sample in range(50)
    ]
    outcomes, model = asking(stub, [*requests, requests[0]])
    assert [answer.content["n"] for answer in outcomes if isinstance(answer, Answer)] == [*range(50), 0]
    assert stub.counts["batches"] == 1 and stub.counts["requests"] == 0
    usage = [answer.usage for answer in outcomes[:50] if isinstance(answer, Answer)]
    full = sum(shipped_prices()["claude-haiku-5-5"].cost(each) for each in usage)
    assert model.budget.spent == pytest.approx(full / 2) == pytest.approx(stub.dollars)
    assert model.counts.dollars == pytest.approx(stub.dollars)
    assert model.counts.calls == {"answered": 50}


def failed(kind: str, status: str = "errored") -> dict[str, Any]:
    return {"type": "errored", "error": {"type": "error", "request_id": "r", "error": {"type": kind, "message": "no"}}}


def test_what_fails_on_the_servers_side_is_handed_in_again_and_the_rest_not(stub: StubAnthropic) -> None:
    requests = [request(sample) for sample in range(8)]
    names = [each.fingerprint for each in requests]
    passing = {names[0]: {"type": "expired"}, names[1]: failed("api_error"), names[2]: failed("overloaded_error")}
    stub.batch_results = passing | {
        names[3]: failed("invalid_request_error"),
        names[4]: {"type": "canceled"},
        names[5]: failed("authentication_error"),
    }
    waits = 0

    async def sleep(_: float) -> None:
        nonlocal waits
        waits += 1
        if stub.counts["batches"] == 2:  # by then it is well again
            for name in passing:
                stub.batch_results.pop(name, None)
        await asyncio.sleep(0)

    stub.looks = 2
    outcomes, model = asking(stub, requests, sleep=sleep)
    kinds = [outcome.kind if isinstance(outcome, TutorError) else "answered" for outcome in outcomes]
    assert kinds == ["answered"] * 3 + ["bad_request", "canceled", "authentication"] + ["answered"] * 2
    assert stub.counts["batches"] == 2
    assert [len(batch.requests) for batch in stub.batches.values()] == [8, 3]
    assert model.budget.spent == pytest.approx(stub.dollars)


def test_what_never_passes_is_given_up(stub: StubAnthropic) -> None:
    stub.batch_results = {request(1).fingerprint: {"type": "expired"}}
    (outcome,), model = asking(stub, [request(1)])
    assert isinstance(outcome, TutorError) and (outcome.kind, outcome.scope) == ("expired", "session")
    assert (stub.counts["batches"], model.budget.spent) == (3, 0)


def test_an_answer_that_does_not_fit_is_asked_again_and_paid_for(stub: StubAnthropic) -> None:
    right = stub.respond
    stub.respond = lambda body: right(body) if stub.counts["batches"] > 1 else {"wrong": 1}
    (outcome,), model = asking(stub, [request(1)])
    assert isinstance(outcome, Answer)
    assert model.counts.calls == {"invalid_answer": 1, "answered": 1}
    assert model.budget.spent == pytest.approx(stub.dollars)


def test_as_many_go_in_as_the_budget_has_room_for(stub: StubAnthropic) -> None:
    requests = [request(sample, model="claude-opus-5") for sample in range(40)]
    most = shipped_prices()["claude-opus-5"].most(requests[0], batched=True)
    outcomes, model = asking(stub, requests, ceiling=20.5 * most)
    assert [len(batch.requests) for batch in stub.batches.values()] == [20, 20], "what one did not spend is the next's"
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert model.budget.spent == pytest.approx(stub.dollars)
    stub.batches.clear()
    outcomes, model = asking(stub, requests, ceiling=10.05 * most)
    assert [len(batch.requests) for batch in stub.batches.values()] == [10], "nine are not worth the wait"
    assert [isinstance(outcome, BudgetError) for outcome in outcomes] == [False] * 10 + [True] * 30
    outcomes, model = asking(stub, requests[:9], ceiling=0.99 * most)
    assert all(isinstance(outcome, BudgetError) for outcome in outcomes)
    assert model.budget.spent == 0


def test_looks_are_polite_and_faults_of_a_look_are_survived(stub: StubAnthropic) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    stub.looks = 14
    stub.faults = [None, None, Fault(status=529), Fault(status=500)]
    outcomes, model = asking(stub, [request()], sleep=sleep)
    assert isinstance(outcomes[0], Answer)
    assert model.counts.calls == {"overloaded": 1, "server_error": 1, "answered": 1}
    looks = [seconds for seconds in waits if seconds >= 1]
    assert looks == sorted(looks) and looks[0] == 2.0 and looks[-1] == 60.0 and len(looks) == 13


def test_handing_in_is_tried_again(stub: StubAnthropic) -> None:
    stub.faults = [Fault(status=429), Fault(status=500)]
    outcomes, model = asking(stub, [request()])
    assert isinstance(outcomes[0], Answer)
    assert model.counts.calls == {"rate_limited": 1, "server_error": 1, "answered": 1}
    stub.faults = [Fault(status=401)]
    with pytest.raises(TutorError) as caught:
        asking(stub, [request()])
    assert (caught.value.kind, caught.value.scope) == ("authentication", "tutor")


class Killed(Exception):
    """The process is gone: nothing after this runs."""


def test_a_program_started_again_fetches_what_it_had_handed_in(stub: StubAnthropic, tmp_path: Path) -> None:
    stub.looks = 3
    requests = [request(sample) for sample in range(10)]

    async def killed(_: float) -> None:
        raise Killed

    with pytest.raises(Killed):
        asking(stub, requests, folder=tmp_path, sleep=killed)
    assert stub.counts["batches"] == 1
    outcomes, model = asking(stub, [*requests, request(99)], folder=tmp_path)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert [len(batch.requests) for batch in stub.batches.values()] == [10, 1]
    assert model.counts.dollars == pytest.approx(stub.dollars), "all of it is counted"
    assert model.budget.spent == pytest.approx(stub.dollars), "and charged: who handed it in cannot have told of it"
    again, model = asking(stub, [*requests, request(99)], folder=tmp_path)
    assert told(again) == told(outcomes)
    assert (stub.counts["batches"], model.counts.dollars) == (2, 0)


def test_what_an_earlier_process_has_spent_above_the_ceiling_is_charged(stub: StubAnthropic, tmp_path: Path) -> None:
    requests = [request(sample, model="claude-opus-5") for sample in range(3)]

    async def killed(_: float) -> None:
        raise Killed

    stub.looks = 2
    with pytest.raises(Killed):
        asking(stub, requests, folder=tmp_path, sleep=killed)
    most = shipped_prices()["claude-opus-5"].most(request(9, model="claude-opus-5"), batched=True)
    outcomes, model = asking(stub, [*requests, request(9, model="claude-opus-5")], folder=tmp_path, ceiling=1.01 * most)
    assert [type(outcome) for outcome in outcomes] == [Answer] * 3 + [BudgetError]
    assert (stub.counts["batches"], model.budget.refused) == (1, 1)
    assert model.budget.spent == pytest.approx(stub.dollars) and model.budget.spent > 0


def test_a_batch_that_the_server_has_forgotten_is_handed_in_again(stub: StubAnthropic, tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / FILE)
    recordings.keep_batch(recordings.begin_batch("127.0.0.1", [request().fingerprint]), "msgbatch_gone")
    recordings.keep_batch(recordings.begin_batch("elsewhere", [request().fingerprint]), "msgbatch_elsewhere")
    recordings.begin_batch("127.0.0.1", ["a", "b", "c"])
    recordings.close()
    (outcome,), model = asking(stub, [request()], folder=tmp_path)
    assert isinstance(outcome, Answer)
    assert stub.counts["batches"] == 1
    assert model.counts.maybe_billed_twice == 3, "a process ended while it handed in three"
    recordings = Recordings(tmp_path / FILE)
    assert recordings.batches_under_way("127.0.0.1") == {}
    assert list(recordings.batches_under_way("elsewhere")) == ["msgbatch_elsewhere"]
    recordings.close()


@pytest.mark.parametrize("times", [1, 3])
def test_a_batch_that_is_gone_while_it_is_waited_for_is_handed_in_again_and_then_given_up(
    stub: StubAnthropic, times: int
) -> None:
    stub.faults = [None, Fault(status=404)] * times
    outcomes, model = asking(stub, [request(1), request(2)])
    expected = ["answered"] * 2 if times == 1 else ["not_found"] * 2
    assert [one.kind if isinstance(one, TutorError) else "answered" for one in outcomes] == expected
    assert stub.counts["batches"] == min(times + 1, 3) and model.counts.calls["not_found"] == times
    assert model.budget.unknown > 0 and model.budget.reserved == 0, "it may have been billed"


def test_without_recordings_an_interruption_cancels_the_batch(stub: StubAnthropic) -> None:
    async def interrupted(_: float) -> None:
        raise asyncio.CancelledError

    stub.looks = 5
    with pytest.raises(asyncio.CancelledError):
        asking(stub, [request()], sleep=interrupted)
    assert [batch.status for batch in stub.batches.values()] == ["canceling"]


def test_a_model_without_batches_is_asked_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        requests = [request(sample) for sample in range(5)]
        plain = RandomModel()
        outcomes = await ask_many(plain, requests)
        recorded = RecordedModel(RandomModel(), Recordings(tmp_path / FILE), "record")
        assert told(await ask_many(recorded, requests)) == told(outcomes)
        await recorded.close()
        replayed = RecordedModel(None, Recordings(tmp_path / FILE, writable=False), "replay")
        assert told(await ask_many(replayed, requests)) == told(outcomes)
        with pytest.raises(TutorError, match="No recording"):
            await ask_many(replayed, [request(9)])
        await replayed.close()

    asyncio.run(main())
