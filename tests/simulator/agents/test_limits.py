"""How many calls at once, how long to wait: additive increase, multiplicative decrease, waits that repeat."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.agents import faults
from simulator.agents.limits import AdaptiveLimit, RetryPolicy


@given(
    most=st.integers(1, 12),
    calls=st.lists(st.tuples(st.sampled_from(["answered", "turned away", "failed"]), st.integers(0, 3)), max_size=60),
)
@settings(max_examples=150, deadline=None)
def test_never_more_at_once_than_the_limit_and_everybody_has_a_turn(most: int, calls: list[tuple[str, int]]) -> None:
    async def main() -> None:
        limit = AdaptiveLimit(most, clock=lambda: 0.0)
        under_way, done = 0, 0

        async def call(end: str, turns: int) -> None:
            nonlocal under_way, done
            async with limit.slot() as number:
                under_way += 1
                assert under_way <= most
                assert 1 <= limit.limit <= most
                for _ in range(turns):
                    await asyncio.sleep(0)
                under_way -= 1
                if end == "answered":
                    limit.speed_up()
                elif end == "turned away":
                    limit.slow_down(number)
                done += 1

        await asyncio.wait_for(asyncio.gather(*(call(*each) for each in calls)), 10)
        assert (done, limit.active) == (len(calls), 0)

    asyncio.run(main())


def test_one_crowd_is_halved_once_and_grows_back_slowly() -> None:
    async def main() -> None:
        limit = AdaptiveLimit(16, start=8, clock=lambda: 0.0)
        numbers = []
        for _ in range(8):
            async with limit.slot() as number:
                numbers.append(number)
        for number in numbers:
            limit.slow_down(number)
        assert limit.limit == 4.0, "they were all sent before anybody knew"
        async with limit.slot() as number:
            limit.slow_down(number)
        assert limit.limit == 2.0
        for _ in range(2):
            limit.speed_up()
        assert 2.8 < limit.limit <= 3.0
        for _ in range(1000):
            limit.speed_up()
        assert limit.limit == 16.0

    asyncio.run(main())


def test_nobody_asks_while_the_provider_wants_quiet() -> None:
    async def main() -> None:
        limit = AdaptiveLimit(4)
        async with limit.slot() as number:
            limit.slow_down(number, 0.05)
        begun = asyncio.get_running_loop().time()
        async with limit.slot():
            assert asyncio.get_running_loop().time() - begun >= 0.045

    asyncio.run(main())


def test_a_waiter_that_is_cancelled_takes_no_place() -> None:
    async def main() -> None:
        limit = AdaptiveLimit(1)

        async def hold() -> None:
            async with limit.slot():
                await asyncio.sleep(0)

        async with limit.slot():
            waiting = [asyncio.create_task(hold()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert (waiting[0].cancelled(), limit.active) == (True, 0)

    asyncio.run(main())


@given(st.integers(1, 30), st.text(), st.none() | st.floats(0, 1e9))
def test_a_wait_is_bounded_jittered_and_repeats(failed: int, key: str, asked: float | None) -> None:
    policy = RetryPolicy()
    wait = policy.wait(failed, key, asked)
    assert wait == policy.wait(failed, key, asked)
    step = min(policy.longest, policy.shortest * 2 ** (failed - 1))
    assert step / 2 <= wait <= max(step, policy.longest_retry_after + 1)
    assert wait >= min(asked or 0.0, policy.longest_retry_after)


def test_waits_of_different_requests_differ() -> None:
    assert len({RetryPolicy().wait(3, f"request {number}") for number in range(100)}) == 100


@pytest.mark.parametrize("verdict", faults.VERDICTS, ids=lambda verdict: verdict.kind)
def test_the_table_of_faults_tells_what_is_done(verdict: faults.Verdict) -> None:
    row = re.search(rf"^    {verdict.kind} .*$", faults.__doc__ or "", re.MULTILINE)
    assert row is not None
    assert row[0].endswith(f"the {verdict.scope}")
    words = {"no": " no ", "yes": " yes ", "for a valid answer": " twice ", "with more room": " twice, doubled "}
    assert words[verdict.again] in row[0]
    assert verdict.maybe_billed == ("may have been billed" in row[0])
