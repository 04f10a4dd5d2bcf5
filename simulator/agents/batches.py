"""Questions that can wait, handed in as message batches: half the price, answered within a day, mostly within an hour.

A request's fingerprint is its custom id, so results find their questions in whatever order they come, in whichever
process. The id of a batch is written down as soon as the server has told it; a program that was stopped and started
again fetches what it had handed in and does not pay twice. In between (between the handing in and the writing down) a
kill can lose a batch: then its requests are counted as maybe billed twice.

What expired, failed on the server's side, went with a batch that the server knows no more, or does not fit the schema
is handed in again, a bounded number of times. The most that a batch can cost is reserved before it is handed in;
as many requests go in as the budget has room for. What an earlier process has handed in is charged when it is fetched,
whatever is left of the budget: that money is gone. It takes the place of what the process had reserved for it, where
that is written down (spending.py); elsewhere it may be counted twice, but is never left out.

Knows no SDK: a `BatchServer` does the talking.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from personas.errors import BudgetError, TutorError
from simulator.agents.budget import Budget, Hold
from simulator.agents.counts import TutorCounts
from simulator.agents.faults import BAD_REQUEST, NOT_FOUND, Failure, error_of
from simulator.agents.language import Answer, Request
from simulator.agents.limits import RetryPolicy
from simulator.agents.prices import PriceTable
from simulator.agents.question import Reply, content_of, with_more_room

Outcome = Answer | TutorError
Kept = Callable[[Request, Outcome], None]
#: The server takes 100,000 requests or 256 MB; smaller ones lose less.
LARGEST = 10_000
#: Fewer are not worth the hour that a batch takes, when more of them wait for room in the budget.
SMALLEST = 10
#: Seconds between looks at a batch: at first, and at most.
FIRST_LOOK, LAST_LOOK = 2.0, 60.0
ROUNDS = 3


def ignore(_: Request, __: Outcome) -> None:
    """Nobody wants to know."""


class BatchServer(Protocol):
    """Who takes batches. The client in client.py is one. `name` tells servers apart in a store."""

    name: str

    async def create_batch(self, requests: Mapping[str, Request]) -> str | Failure:
        """Hand in requests by custom id."""
        ...

    async def batch_ended(self, batch: str) -> bool | Failure:
        """Whether all results are there."""
        ...

    async def batch_results(self, batch: str) -> dict[str, Reply | Failure] | Failure:
        """Results by custom id."""
        ...

    async def cancel_batch(self, batch: str) -> None:
        """Ask for the end of a batch."""
        ...


class BatchStore(Protocol):
    """Who remembers batches under way beyond the life of a process. Recordings do."""

    lasting: bool

    def begin_batch(self, server: str, fingerprints: Iterable[str]) -> int:
        """A batch is about to be handed in; gives a number for `keep_batch`."""
        ...

    def keep_batch(self, number: int, batch: str | None) -> None:
        """The id that a batch was given; None: it was not taken."""
        ...

    def batches_under_way(self, server: str) -> dict[str, list[str]]:
        """Batches whose results nobody has fetched: id → fingerprints of their requests."""
        ...

    def forget_lost_batches(self, server: str) -> int:
        """How many requests were about to be handed in when a process ended; they are told once."""
        ...

    def end_batch(self, batch: str) -> None:
        """The results of a batch have been kept, or never come."""
        ...


class BatchesInMemory:
    """A store for one call, where there are no recordings."""

    lasting = False

    def __init__(self) -> None:
        self._batches: dict[str, list[str]] = {}
        self._begun: dict[int, list[str]] = {}

    def begin_batch(self, server: str, fingerprints: Iterable[str]) -> int:
        """See BatchStore."""
        number = len(self._begun)
        self._begun[number] = list(fingerprints)
        return number

    def keep_batch(self, number: int, batch: str | None) -> None:
        """See BatchStore."""
        if batch is not None:
            self._batches[batch] = self._begun[number]

    def batches_under_way(self, server: str) -> dict[str, list[str]]:
        """See BatchStore."""
        return dict(self._batches)

    def forget_lost_batches(self, server: str) -> int:
        """See BatchStore."""
        return 0

    def end_batch(self, batch: str) -> None:
        """See BatchStore."""
        self._batches.pop(batch, None)


class Batches:
    """Asks by batches, on one server."""

    def __init__(
        self,
        server: BatchServer,
        prices: PriceTable,
        budget: Budget,
        counts: TutorCounts,
        policy: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._server, self._prices, self._budget, self._counts = server, prices, budget, counts
        self._policy, self._sleep = policy, sleep

    async def ask_many(self, requests: Sequence[Request], store: BatchStore, kept: Kept = ignore) -> list[Outcome]:
        """The outcomes of the requests, in their order. `kept` is told each as soon as it is known. Raises TutorError
        only when the server cannot be asked; what was handed in then waits in the store."""
        by_id = {request.fingerprint: request for request in requests}
        outcomes: dict[str, Outcome] = {}

        def told(name: str, outcome: Outcome) -> None:
            outcomes[name] = outcome
            kept(by_id[name], outcome)

        self._counts.maybe_billed_twice += store.forget_lost_batches(self._server.name)
        for batch, names in store.batches_under_way(self._server.name).items():
            if not by_id.keys().isdisjoint(names):
                mine = {name: by_id[name] for name in names if name in by_id}
                await self._collect(batch, mine, None, store, told, {})  # what failed is asked below
        asked = {name: request for name, request in by_id.items() if name not in outcomes}
        for last in (False,) * (ROUNDS - 1) + (True,):
            again: dict[str, Request] = {}
            while asked:
                part, hold = await self._part(asked, told)
                if part and hold is not None:
                    with hold:
                        await self._hand_in(part, hold, store, told, None if last else again)
            asked = again
        return [outcomes[request.fingerprint] for request in requests]

    async def _part(
        self, asked: dict[str, Request], told: Callable[[str, Outcome], None]
    ) -> tuple[dict[str, Request], Hold | None]:
        """Take as many requests out of `asked` as make a batch and fit into the budget, and reserve their cost."""
        part: dict[str, Request] = {}
        most = 0.0
        for name in list(asked):
            cost = self._prices[asked[name].model].most(asked[name], batched=True)
            if part and (most + cost > self._budget.left or len(part) == LARGEST):
                break
            part[name], most = asked.pop(name), math.fsum([most, cost])
        try:
            if asked and len(part) < SMALLEST and not self._budget.reserved:
                raise self._budget.refusal(most)
            return part, await self._budget.reserve(most)
        except BudgetError as error:
            for name in [*part, *asked]:
                told(name, error)
            asked.clear()
            return {}, None

    async def _hand_in(
        self,
        part: dict[str, Request],
        hold: Hold,
        store: BatchStore,
        told: Callable[[str, Outcome], None],
        again: dict[str, Request] | None,
    ) -> None:
        number = store.begin_batch(self._server.name, part)
        tries = 1
        while isinstance(batch := await self._server.create_batch(part), Failure):
            self._counts.calls[batch.verdict.kind] += 1
            if batch.verdict.again != "yes" or tries >= self._policy.tries:
                store.keep_batch(number, None)
                if not batch.verdict.maybe_billed:
                    hold.release()
                raise error_of(batch, tries)
            if batch.verdict.maybe_billed:
                self._counts.maybe_billed_twice += len(part)
            await self._sleep(self._policy.wait(tries, next(iter(part)), batch.retry_after))
            tries += 1
        store.keep_batch(number, batch)
        hold.name(batch)
        try:
            await self._collect(batch, part, hold, store, told, again)
        except asyncio.CancelledError:
            if not store.lasting:  # nobody could fetch it any more
                await self._server.cancel_batch(batch)
            raise

    async def _collect(
        self,
        batch: str,
        wanted: dict[str, Request],
        hold: Hold | None,
        store: BatchStore,
        told: Callable[[str, Outcome], None],
        again: dict[str, Request] | None,
    ) -> None:
        """Wait for a batch and take in its results. What is worth another try goes into `again`; None: nothing is."""
        results = await self._results(batch)
        if isinstance(results, Failure):  # there is no such batch any more
            store.end_batch(batch)
            for name, request in wanted.items():
                if again is not None:
                    again[name] = request
                else:
                    told(name, error_of(results, 1))
            return
        cost, whole = 0.0, len(wanted) == len(results)
        for name, request in wanted.items():
            result = results.get(name) or Failure(BAD_REQUEST, f"the batch {batch} has no result for it")
            dollars = 0.0
            if isinstance(result, Reply):
                dollars = self._prices[request.model].cost(result.usage, batched=True)
                self._counts.add_usage(result.usage, dollars)
            cost += dollars
            outcome = content_of(request, result) if isinstance(result, Reply) else result
            self._counts.calls[outcome.verdict.kind if isinstance(outcome, Failure) else "answered"] += 1
            if not isinstance(outcome, Failure):
                assert isinstance(result, Reply)
                told(name, Answer(content=outcome, model=result.model, usage=result.usage, dollars=dollars))
            elif again is not None and outcome.verdict.again != "no":
                again[name] = with_more_room(request) if outcome.verdict.again == "with more room" else request
            else:
                told(name, error_of(outcome, 1))
        if hold is None:
            self._budget.charge(cost, batch if whole else "")  # else somebody is still to fetch and pay the rest
        else:
            hold.settle(cost)
        if whole:
            store.end_batch(batch)

    async def _results(self, batch: str) -> dict[str, Reply | Failure] | Failure:
        """Look at a batch, politely, until its results are there. A Failure: the server does not know it. Raises
        TutorError when the server cannot be asked; the batch stays in the store."""
        wait, failed = FIRST_LOOK, 0
        while True:
            ended = await self._server.batch_ended(batch)
            found = await self._server.batch_results(batch) if ended is True else ended
            if isinstance(found, dict):
                return found
            if isinstance(found, Failure):
                self._counts.calls[found.verdict.kind] += 1
                failed += 1
                if found.verdict is NOT_FOUND:
                    return found
                if found.verdict.again != "yes" or failed >= 2 * self._policy.tries:
                    raise error_of(found, failed)
                await self._sleep(self._policy.wait(failed, batch, found.retry_after))
                continue
            failed = 0
            await self._sleep(wait)
            wait = min(LAST_LOOK, wait * 1.5)


async def all_at_once(
    ask: Callable[[Request], Awaitable[Answer]], requests: Sequence[Request], kept: Kept = ignore
) -> list[Outcome]:
    """Ask each by itself; an error is the outcome of its own request only. How many at once is up to `ask`."""

    async def one(request: Request) -> Outcome:
        try:
            outcome: Outcome = await ask(request)
        except TutorError as error:
            outcome = error
        kept(request, outcome)
        return outcome

    return list(await asyncio.gather(*(one(request) for request in requests)))
