"""What was spent outlives a kill: processes that die in the midst of calls never pay more than the budget together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from personas.errors import BudgetError, TutorError
from simulator.agents.budget import Budget
from simulator.agents.client import AnthropicModel
from simulator.agents.language import Message, Request
from simulator.agents.prices import shipped_prices
from simulator.agents.spending import FILE, Payer, Spending
from tests.stub_anthropic import KEY, StubAnthropic

ROOT = Path(__file__).parents[3]


def payer(part: str = "0/1", ceiling: float = 1.0, *, fresh: bool = False) -> Payer:
    return Payer("shop-1", part, ceiling, fresh)


def question(number: int) -> Request:
    return Request(
        model="claude-haiku-5-5", purpose="walk", prompt="1", system="Shop.", context="",
        messages=(Message(role="user", text=f"Step {number}"),), schema_name="move", sample=number, max_tokens=200,
        answer_schema={"type": "object", "properties": {"words": {"type": "string"}}, "required": ["words"]},
    )  # fmt: skip


def test_what_a_process_left_open_counts_for_the_next(tmp_path: Path) -> None:
    first = Spending(tmp_path / FILE, payer())
    assert first.spent() == 0 and not (tmp_path / FILE).exists(), "no file for who pays nothing"
    one, _ = first.reserve(0.25), first.reserve(0.5)
    assert one is not None
    first.settle(one, 0.125)
    assert Spending(tmp_path / FILE, payer()).spent() == 0.125 + 0.5
    assert Spending(tmp_path / FILE, payer("1/2")).spent() == 0.0
    assert Spending(tmp_path / FILE, Payer("shop-2", "0/1", 1.0)).spent() == 0.0


def test_parts_of_a_run_that_share_a_file_share_the_ceiling(tmp_path: Path) -> None:
    """Divided anew among other shards, a run has not another budget."""
    whole, half = Spending(tmp_path / FILE, payer()), Spending(tmp_path / FILE, payer("0/2"))
    assert whole.reserve(0.75) is not None
    assert half.reserve(0.5) is None and half.reserve(0.25) is not None
    assert Spending(tmp_path / FILE, payer("1/2")).reserve(0.01) is None


def test_a_batch_that_another_process_fetches_takes_the_place_of_its_reservation(tmp_path: Path) -> None:
    first = Spending(tmp_path / FILE, payer())
    number = first.reserve(0.75)
    assert number is not None
    first.name(number, "batch-1")
    second = Spending(tmp_path / FILE, payer())
    assert second.settle_batch("another", 0.0) == 0.0 and second.spent() == 0.75
    assert second.settle_batch("batch-1", 0.125) == 0.75 and second.spent() == 0.125


def test_only_a_run_that_was_complete_and_begins_from_nothing_has_its_budget_again(tmp_path: Path) -> None:
    def spent(*, fresh: bool, complete: bool = False) -> float:
        spending = Spending(tmp_path / FILE, payer(fresh=fresh))
        found = spending.spent()
        if complete:
            spending.complete()
        spending.close()
        return found

    one = Spending(tmp_path / FILE, payer())
    one.reserve(0.5)
    one.close()
    assert spent(fresh=True) == 0.5, "it was killed"
    assert spent(fresh=False, complete=True) == 0.5
    assert spent(fresh=False) == 0.5, "it goes on, so it is not complete any more"
    assert spent(fresh=True, complete=True) == 0.5
    assert spent(fresh=True) == 0.0


def test_a_budget_writes_down_first_and_waits_for_nobody_who_is_dead(tmp_path: Path) -> None:
    async def main() -> None:
        Spending(tmp_path / FILE, payer("1/2")).reserve(0.5)
        spending = Spending(tmp_path / FILE, payer("0/2"))
        budget = Budget(1.0, spending)
        with await budget.reserve(0.25) as hold:
            assert spending.spent() == 0.25
            hold.settle(0.125)
        with pytest.raises(BudgetError):
            await budget.reserve(0.5)
        (await budget.reserve(0.25)).lose()
        (await budget.reserve(0.0)).close()
        assert (budget.spent, budget.unknown, spending.spent()) == (0.375, 0.25, 0.375)

    asyncio.run(main())


@pytest.mark.parametrize("what", ["text", "database"])
def test_a_file_that_is_none_stops_the_asking(tmp_path: Path, what: str) -> None:
    if what == "text":
        (tmp_path / FILE).write_text("nothing of the kind " * 100)
    else:
        with sqlite3.connect(tmp_path / FILE) as other:
            other.execute("CREATE TABLE t (a)")
        other.close()
    with pytest.raises(TutorError, match="nothing is asked") as error:
        Spending(tmp_path / FILE, payer())
    assert error.value.scope == "tutor"


async def ask_until_there_is_no_money(url: str, path: Path, ceiling: float) -> None:
    """One question after another, eight at a time."""
    spending = Spending(path, payer(ceiling=ceiling))
    budget = Budget(max(0.0, ceiling - spending.spent()), spending)
    model = AnthropicModel(SecretStr(KEY), shipped_prices(), budget, base_url=url, most_calls=8)
    numbers = iter(range(10**6))

    async def worker() -> None:
        for number in numbers:
            await model.ask(question(number))

    results = await asyncio.gather(*(worker() for _ in range(8)), return_exceptions=True)
    assert all(isinstance(result, BudgetError) for result in results), results
    await model.close()


def start_again_and_again(url: str, path: Path, ceiling: float) -> None:
    """One process after another, each in the place of the one that died; forked, because imports take seconds."""
    import anthropic  # noqa: F401

    status = 1
    while status:
        child = os.fork()
        if not child:
            asyncio.run(ask_until_there_is_no_money(url, path, ceiling))
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
    print("refused", flush=True)


@pytest.mark.timeout(120)
def test_kills_in_the_midst_of_calls_never_make_the_bill_exceed_the_budget(tmp_path: Path) -> None:
    """The dollars are counted at the server. Without the file, each start would have had the whole budget."""
    ceiling, kills = 0.02, 0
    with StubAnthropic(respond=lambda body: {"words": "a word " * 100}) as stub:
        stub.keep_bodies, stub.delay = False, 0.01
        words = ("-m", "tests.simulator.agents.test_spending", stub.url, str(tmp_path / FILE), str(ceiling))
        starter = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert starter.stdout is not None
        try:
            while (line := starter.stdout.readline().strip()) != "refused":
                assert kills < 30, "it was never refused"
                before = stub.counts["answered"]
                with contextlib.suppress(psutil.NoSuchProcess):
                    child = psutil.Process(int(line))
                    while child.status() != psutil.STATUS_ZOMBIE and stub.counts["answered"] < before + 12:
                        time.sleep(0.002)
                    child.kill()
                    kills += 1
        finally:
            starter.kill()
            starter.wait()
            starter.stdout.close()
        spent = Spending(tmp_path / FILE, payer(ceiling=ceiling)).spent()
        assert kills >= 3 and 0.3 * ceiling < stub.dollars <= spent <= ceiling + 1e-9


if __name__ == "__main__":
    start_again_and_again(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
