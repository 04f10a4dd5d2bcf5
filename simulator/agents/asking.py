"""Asking: one question and what is counted of it, and many questions at once.

`Asker` stands between those who ask (walker, planner) and the LanguageModel: it counts what money does not (that is
the client's). `all_at_once` runs many pieces of work on one event loop, stops them all when
one fails or a stop is asked for. Knows neither worlds nor prompts.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from personas.errors import TutorError
from simulator.agents.language import LanguageModel, Request
from simulator.agents.quality import Said
from simulator.choice import Interrupted

T = TypeVar("T")
WATCH_SECONDS = 0.1
#: Messages that quality is measured on.
REMEMBERED = 2000


@dataclass
class AgentCounts:
    """What agents did so far. `decisions` were taken, of which `forced` had no alternative and were not asked for;
    `questions` were answered; `refused` answers by kind, `errors` of the language model by kind, `outcomes` of sessions
    by outcome; `conversations` with support were spoken; `plans` were made and `duplicate_plans` refused;
    `stepped_down` users, the first of them at the instant `stepped_down_at` (milliseconds after the start of the
    run). `said` are the latest messages that users wrote to support."""

    decisions: int = 0
    forced: int = 0
    questions: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    conversations: int = 0
    plans: int = 0
    duplicate_plans: int = 0
    stepped_down: int = 0
    stepped_down_at: int | None = None
    said: deque[Said] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class Asker:
    """Asks a language model and keeps count."""

    def __init__(self, model: LanguageModel | None = None) -> None:
        #: May be given later, before the first question.
        self.model = model
        self.counts = AgentCounts()

    async def ask(self, request: Request) -> Any:
        """What was answered. TutorErrors, BudgetError among them, are counted and passed on."""
        assert self.model is not None, "nobody is there to be asked"
        try:
            answer = await self.model.ask(request)
        except TutorError as error:
            self.counts.errors[error.kind] += 1
            raise
        self.counts.questions += 1
        return answer.content


async def all_at_once(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], stopping: Callable[[], bool], at_once: int
) -> None:
    """Do the work for every item, at most `at_once` of them at the same time. The first error ends all of it and is
    raised; so does `stopping`, with Interrupted. A worker that has to wait is followed by another; work that never
    waits, such as reading recordings, needs only one."""
    waiting, workers = iter(items), list[asyncio.Task[None]]()
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def worker(number: int) -> None:
        for item in waiting:
            if stopping():
                raise Interrupted
            if number == len(workers) < at_once:
                follow()
            await work(item)

    def follow() -> None:
        workers.append(asyncio.create_task(worker(len(workers) + 1)))
        workers[-1].add_done_callback(judge)

    def judge(task: asyncio.Task[None]) -> None:
        if ended.done() or task.cancelled():
            return
        if (error := task.exception()) is not None:
            ended.set_exception(error)
        elif all(one.done() for one in workers):
            ended.set_result(None)

    follow()
    try:
        await until_stopped(ended, stopping)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _watch(stopping: Callable[[], bool]) -> NoReturn:
    while not stopping():
        await asyncio.sleep(WATCH_SECONDS)
    raise Interrupted


async def until_stopped(work: Awaitable[T], stopping: Callable[[], bool]) -> T:
    """The result of the work; Interrupted when a stop is asked for first."""
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(_watch(stopping))
    try:
        done, _ = await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task in done else watch.result()
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
