"""A ceiling holds under any interleaving, and every dollar is accounted for."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personas.errors import BudgetError
from simulator.agents.budget import Budget

CENTS = st.integers(0, 400).map(lambda cents: cents / 100)
CALLS = st.lists(
    st.tuples(
        CENTS,  # reserved
        st.floats(0, 1),  # of that, the true cost
        st.sampled_from(["settle", "release", "lose", "error", "cancel", "settle twice"]),
        st.integers(0, 4),  # turns of the loop before it starts
        st.integers(0, 4),  # and until it ends
    ),
    max_size=25,
)


@given(ceiling=CENTS, calls=CALLS)
@settings(max_examples=300, deadline=None)
def test_the_bill_never_exceeds_the_ceiling(ceiling: float, calls: list[tuple[float, float, str, int, int]]) -> None:
    budget = Budget(ceiling)
    billed: list[float] = []
    refused = 0

    async def call(most: float, share: float, end: str, before: int, during: int) -> None:
        nonlocal refused
        for _ in range(before):
            await asyncio.sleep(0)
        try:
            hold = await budget.reserve(most)
        except BudgetError:
            refused += 1
            return
        with hold:
            assert budget.spent + budget.reserved <= ceiling + 1e-9
            for _ in range(during):
                await asyncio.sleep(0)
            if end == "release":
                hold.release()
                return
            billed.append(most * share)  # whatever happens now, the provider has sent its bill
            if end in ("settle", "settle twice"):
                hold.settle(most * share)
                if end == "settle twice":
                    hold.settle(most)
                    hold.release()
            elif end == "lose":
                hold.lose()
            elif end == "error":
                raise RuntimeError
            else:
                await asyncio.sleep(60)

    async def main() -> None:
        tasks = [asyncio.create_task(call(*each)) for each in calls]
        for _ in range(12 * (len(tasks) + 1)):
            await asyncio.sleep(0)
        pending = [task for task in tasks if not task.done()]
        while pending:  # a cancelled call gives way to others, which are cancelled in their turn
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            pending = [task for task in tasks if not task.done()]

    asyncio.run(main())
    assert math.fsum(billed) <= budget.spent + 1e-9
    assert budget.spent <= ceiling + 1e-9
    assert budget.reserved == 0
    assert budget.refused == refused


def test_a_call_waits_for_room_and_is_refused_where_there_will_be_none() -> None:
    async def main() -> None:
        budget = Budget(1.0)
        first = await budget.reserve(0.8)
        second = asyncio.create_task(budget.reserve(0.8))
        await asyncio.sleep(0)
        assert not second.done(), "it waits: the first may turn out to be cheap"
        first.settle(0.1)
        (await second).settle(0.1)
        assert budget.spent == pytest.approx(0.2)
        with pytest.raises(BudgetError, match=r"ceiling of 1\.00 dollars .*0\.2000 are spent.*could cost 0\.9000"):
            await budget.reserve(0.9)
        (await budget.reserve(0.8)).lose()
        assert (budget.spent, budget.unknown, budget.left) == (pytest.approx(1.0), pytest.approx(0.8), pytest.approx(0))

    asyncio.run(main())


def test_a_waiter_that_is_cancelled_hands_its_turn_on() -> None:
    async def main() -> None:
        budget = Budget(1.0)
        first = await budget.reserve(1.0)
        waiting = [asyncio.create_task(budget.reserve(0.9)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, True, False]
        waiting[1].result().release()
        (await waiting[2]).release()

    asyncio.run(main())


def test_without_a_ceiling_everything_is_counted() -> None:
    async def main() -> None:
        budget = Budget()
        (await budget.reserve(1e6)).settle(1e6)
        assert (budget.spent, budget.left) == (1e6, math.inf)

    asyncio.run(main())


def test_what_is_no_amount_is_refused() -> None:
    for ceiling in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="ceiling"):
            Budget(ceiling)
    with pytest.raises(ValueError, match="reservation"):
        asyncio.run(Budget(1.0).reserve(math.nan))


def test_money_that_is_gone_already_counts_above_the_ceiling_and_ends_waiting() -> None:
    async def main() -> None:
        budget = Budget(1.0)
        hold = await budget.reserve(1.0)
        waiting = asyncio.create_task(budget.reserve(0.5))
        await asyncio.sleep(0)
        for _ in range(3):
            budget.charge(1.5, "batch")
        with pytest.raises(BudgetError):
            await waiting
        hold.release()
        assert (budget.spent, budget.left, budget.unknown) == (4.5, 0.0, 0.0)
        with pytest.raises(BudgetError):
            await budget.reserve(0.01)

    asyncio.run(main())
