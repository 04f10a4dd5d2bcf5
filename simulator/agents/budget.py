"""A ceiling in dollars that concurrent calls to a language model cannot exceed.

Before a call the most that it can cost is reserved, after it the true cost is settled and the rest given back:

    hold = await budget.reserve(most)
    try:
        answer = await ...
        hold.settle(dollars)
    finally:
        hold.close()    # neither settled nor released: what was reserved counts as spent

What may have been billed without our knowing (a connection cut after the question was sent, a cancelled call) counts
in full, and is told apart as `unknown`. So `spent` is never less than the bill, as long as no call costs more than was
reserved for it.

Where there is room only once others have settled, `reserve` waits for them; it refuses when there would be none even
then. The other way, refusing at once, ends a run long before its money is spent, because reservations are several
times too high. Who holds a reservation must not wait for a second one.

An `Account` remembers beyond the life of the process, and knows what other processes of the same run hold: what it
refuses is refused, whatever is left here. A call that can cost nothing (the model is free) does not trouble it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from types import TracebackType
from typing import Protocol

from personas.errors import BudgetError


class Account(Protocol):
    """Where reservations and costs are written down before they happen and after. `Spending` is one."""

    def reserve(self, dollars: float) -> int | None:
        """The number of a reservation; None: there is no room for it."""
        ...

    def settle(self, number: int, dollars: float) -> None:
        """What a reservation came to. One that is never settled counts in full."""
        ...

    def name(self, number: int, batch: str) -> None:
        """What a reservation is for, if another process may settle it."""
        ...

    def settle_batch(self, batch: str, dollars: float) -> float:
        """What another process reserved for a batch came to; gives what was reserved."""
        ...


class Budget:
    """Dollars that may be spent, for one event loop. `ceiling` None is no ceiling: what is spent is only counted."""

    def __init__(self, ceiling: float | None = None, account: Account | None = None) -> None:
        if ceiling is not None and not 0 <= ceiling < math.inf:
            raise ValueError(f"a ceiling of {ceiling} dollars")
        self.ceiling = ceiling
        self.account = account
        self.refused = 0
        self._spent = 0.0
        self._unknown = 0.0
        self._reserved: dict[int, float] = {}
        self._next = 0
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()

    @property
    def spent(self) -> float:
        """Dollars spent, with those that may have been."""
        return self._spent

    @property
    def unknown(self) -> float:
        """Of the dollars spent, those of which it is not known whether they were billed."""
        return self._unknown

    @property
    def reserved(self) -> float:
        """Dollars held for calls under way."""
        return math.fsum(self._reserved.values())

    @property
    def left(self) -> float:
        """Dollars that nobody has spent or holds; infinite without a ceiling."""
        return math.inf if self.ceiling is None else max(0.0, self.ceiling - self.spent - self.reserved)

    async def reserve(self, most: float) -> Hold:
        """Hold `most` dollars for one call. BudgetError when they can't be had, whatever the calls under way cost."""
        if not 0 <= most < math.inf:
            raise ValueError(f"a reservation of {most} dollars")
        while (number := self._written(most)) is None:
            if not self._fits_alone(most) or not self._reserved:
                raise self.refusal(most)
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((most, turn))
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()  # the turn may have been ours: hand it on
                raise
        self._reserved[number] = most
        return Hold(self, number)

    def charge(self, dollars: float, batch: str) -> None:
        """Count the dollars of a batch that another process has handed in, be there room for them or not, in the place
        of what is known to have been reserved for it."""
        freed = self.account.settle_batch(batch, dollars) if self.account is not None else 0.0
        self._spent += dollars - freed
        self._wake()  # who waits for room may have none left to wait for

    def refusal(self, most: float) -> BudgetError:
        """The error of a call that could cost `most`, and is not made; it is counted."""
        self.refused += 1
        return BudgetError(
            f"The ceiling of {self.ceiling or 0:.2f} dollars is reached: {self.spent:.4f} are spent, and the next call "
            f"could cost {most:.4f}.",
            hint="Give more with --budget; answers that were recorded are not paid for again.",
        )

    def _fits_alone(self, most: float) -> bool:
        return self.ceiling is None or self._spent + most <= self.ceiling

    def _fits(self, most: float) -> bool:
        return self.ceiling is None or math.fsum([self._spent, most, *self._reserved.values()]) <= self.ceiling

    def _written(self, most: float) -> int | None:
        """The number of a new reservation, where there is room for it: a negative one if no account knows of it."""
        if not self._fits(most):
            return None
        if self.account is not None and most > 0:
            return self.account.reserve(most)
        self._next -= 1
        return self._next

    def _end(self, number: int, dollars: float, *, unknown: bool = False) -> None:
        reserved = self._reserved.pop(number, None)
        if reserved is None:
            return
        if self.account is not None and number > 0 and not unknown:
            self.account.settle(number, dollars)
        cost = reserved if unknown else dollars
        self._spent += cost
        self._unknown += cost if unknown else 0.0
        self._wake()

    def _wake(self) -> None:
        """Let all who wait look again, in their order: a small call may fit where a large one does not."""
        waiting, self._waiting = self._waiting, deque()
        for _, turn in waiting:
            if not turn.done():
                turn.set_result(None)


class Hold:
    """A reservation. Exactly one of settle, release and lose counts; `close` loses it unless one did."""

    def __init__(self, budget: Budget, number: int) -> None:
        self._budget = budget
        self._number = number

    def settle(self, dollars: float) -> None:
        """The call cost this much."""
        self._budget._end(self._number, dollars)

    def name(self, batch: str) -> None:
        """The call hands in this batch: should it be lost, whoever fetches the batch settles it."""
        if self._budget.account is not None and self._number > 0:
            self._budget.account.name(self._number, batch)

    def release(self) -> None:
        """The call was not made, or is known to be free."""
        self._budget._end(self._number, 0.0)

    def lose(self) -> None:
        """Nobody knows what the call cost: all that was reserved counts."""
        self._budget._end(self._number, 0.0, unknown=True)

    def close(self) -> None:
        """Nothing is left open: an unsettled reservation is lost."""
        self.lose()

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
