"""The Anthropic API, or whatever speaks its protocol, as a LanguageModel. The home of the SDK; it is imported when a
client is made, because that takes seconds.

One shared asynchronous client with aiohttp under it. The SDK's own retries are off: they follow a `retry-after` of
hours and count nothing. Each try takes a place (limits.py), reserves the most it can cost (budget.py), is sent, and
is judged (faults.py, question.py); what is worth it is tried again, the rest is raised as a TutorError.

The key goes to the SDK and nowhere else: no error, log line or count here has a header or a body of a request in it,
and in what a server sends it is masked before anybody reads it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from personas.errors import TutorError
from personas.logs import redact
from simulator.agents import faults
from simulator.agents.batches import Batches, BatchesInMemory, BatchStore, Kept, all_at_once, ignore
from simulator.agents.budget import Budget
from simulator.agents.counts import TutorCounts
from simulator.agents.faults import Failure
from simulator.agents.language import Answer, Request, Usage
from simulator.agents.limits import AdaptiveLimit, RetryPolicy
from simulator.agents.prices import ModelEntry, PriceTable
from simulator.agents.question import Reply, content_of, parameters_of, sum_of, with_more_room, without

LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: A batch may be large.
BATCH_SECONDS = 600.0
#: After so many questions in a row without an answer, asking more is of no use.
GIVE_UP_AFTER = 10


class AnthropicModel:
    """Asks one server. Make it inside of the event loop that uses it, and close it there. `batches`: whether the server
    has message batches; None: where it is Anthropic's own."""

    def __init__(
        self,
        key: SecretStr,
        prices: PriceTable,
        budget: Budget,
        *,
        base_url: str | None = None,
        counts: TutorCounts | None = None,
        most_calls: int = 32,
        timeout_seconds: float = 60.0,
        policy: RetryPolicy | None = None,
        batches: bool | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        import anthropic

        for name in ("anthropic", "httpx2"):  # a line for each call, and at debug level whole prompts
            logging.getLogger(name).setLevel(logging.WARNING)
        self._sdk, self._key = anthropic, key
        # No redirects, since they would carry the key elsewhere; no proxy on the way to our own machine. A server of
        # one's own wants no key, the SDK wants one.
        local = urlsplit(base_url or "").hostname in LOOPBACK
        self._client = anthropic.AsyncAnthropic(
            api_key=key.get_secret_value() or "none",
            base_url=base_url,
            max_retries=0,
            timeout=timeout_seconds,
            http_client=anthropic.DefaultAioHttpClient(follow_redirects=False, trust_env=not local),
        )
        self._timeout_seconds = timeout_seconds
        self.prices = prices
        self.budget = budget
        self.counts = counts or TutorCounts()
        self.limit = AdaptiveLimit(most_calls)
        self.policy = policy or RetryPolicy()
        self._sleep = sleep
        self._unanswered = 0
        self.name = self._client.base_url.host
        has_batches = base_url is None if batches is None else batches
        self.batches = Batches(self, prices, budget, self.counts, self.policy, sleep) if has_batches else None

    async def ask(self, request: Request) -> Answer:
        """The answer to one request, however many tries it takes; dollars and tokens are those of all of them."""
        entry = self.prices[request.model]
        usage, dollars, tries, asked = Usage(), 0.0, 0, request
        while True:
            tries += 1
            outcome, reply, cost = await self._try(asked, entry)
            dollars += cost
            if reply is not None:
                usage = sum_of(usage, reply.usage)
            if not isinstance(outcome, Failure):
                self._unanswered = 0
                model = reply.model if reply is not None else request.model
                return Answer(content=outcome, model=model, usage=usage, dollars=dollars)
            again = outcome.verdict.again
            most = self.policy.tries if again == "yes" else self.policy.tries_for_a_valid_answer
            if again == "no" or tries >= most:
                raise self._final(outcome, tries)
            if outcome.verdict.maybe_billed:
                self.counts.maybe_billed_twice += 1
            if again == "with more room":
                asked = with_more_room(asked)
            elif again == "yes":
                await self._sleep(self.policy.wait(tries, request.fingerprint, outcome.retry_after))

    async def ask_many(
        self, requests: Sequence[Request], store: BatchStore | None = None, kept: Kept = ignore
    ) -> list[Answer | TutorError]:
        """The outcomes of requests that can wait, in their order: as message batches where the server has them (half
        the price, an hour or so), else one by one. `kept` is told each as it comes; `store` remembers batches."""
        if self.batches is None:
            return await all_at_once(self.ask, requests, kept)
        return await self.batches.ask_many(requests, BatchesInMemory() if store is None else store, kept)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def _try(self, request: Request, entry: ModelEntry) -> tuple[dict[str, Any] | Failure, Reply | None, float]:
        """Ask once. The answer's content or what failed, the reply if there was one, and its dollars."""
        async with self.limit.slot() as call:
            with await self.budget.reserve(entry.most(request)) as hold, self.counts.under_way():
                reply = await self._send(parameters_of(request, entry, self._sdk.transform_schema))
                if isinstance(reply, Failure):
                    self.counts.calls[reply.verdict.kind] += 1
                    if not reply.verdict.maybe_billed:
                        hold.release()
                    if reply.verdict.slows:
                        self.limit.slow_down(call, min(reply.retry_after or 0.0, self.policy.longest_retry_after))
                    return reply, None, 0.0
                dollars = entry.cost(reply.usage)
                hold.settle(dollars)
            self.counts.add_usage(reply.usage, dollars)
            self.limit.speed_up()
            outcome = content_of(request, reply)
            self.counts.calls[outcome.verdict.kind if isinstance(outcome, Failure) else "answered"] += 1
            return outcome, reply, dollars

    async def _send(self, parameters: dict[str, Any]) -> Reply | Failure:
        # The SDK's own time-out begins anew with each piece that comes.
        message = await self._called(self._client.messages.create(**parameters), self._timeout_seconds)
        return message if isinstance(message, Failure) else self._reply_or_failure(message)

    async def _called(self, call: Awaitable[Any], seconds: float | None) -> Any:
        """What a call of the SDK gives, or the Failure that its error is."""
        sdk = self._sdk
        try:
            async with asyncio.timeout(seconds):
                return await call
        except sdk.APIStatusError as error:
            said = self._without_key(error.api_message or f"status {error.status_code}")
            verdict = faults.verdict_of_status(error.status_code, said)
            return Failure(verdict, f"{error.status_code}: {said}"[:300], _seconds(error.response.headers))
        except (sdk.APITimeoutError, TimeoutError):
            return Failure(faults.TIMEOUT, f"no answer in {self._timeout_seconds:g} seconds")
        except sdk.APIConnectionError as error:
            return self._connection_failure(error)
        except (sdk.AnthropicError, ValueError, TypeError) as error:
            # What came is not of the protocol: JSON cut short, a page of a proxy.
            return Failure(faults.CONNECTION, f"the reply is not of the Messages API: {type(error).__name__}")
        except OSError as error:
            return Failure(faults.CONNECTION, f"{self._client.base_url.host}: {type(error).__name__}")

    # The Message Batches API, for batches.py

    async def create_batch(self, requests: Mapping[str, Request]) -> str | Failure:
        """Hand in requests by their custom ids; gives the id of the batch."""
        adapted = self._sdk.transform_schema
        made: Any = [
            {"custom_id": name, "params": parameters_of(request, self.prices[request.model], adapted)}
            for name, request in requests.items()
        ]
        batch = await self._called(self._client.messages.batches.create(requests=made), BATCH_SECONDS)
        return batch if isinstance(batch, Failure) else self._without_key(str(batch.id))

    async def batch_ended(self, batch: str) -> bool | Failure:
        """Whether all of a batch's results are there."""
        found = await self._called(self._client.messages.batches.retrieve(batch), self._timeout_seconds)
        return found if isinstance(found, Failure) else found.processing_status == "ended"

    async def batch_results(self, batch: str) -> dict[str, Reply | Failure] | Failure:
        """The results by custom id. All of them are read before any is used, so a cut leaves nothing half done."""
        return await self._called(self._read_results(batch), BATCH_SECONDS)  # type: ignore[no-any-return]

    async def cancel_batch(self, batch: str) -> None:
        """Ask for a batch to end; what has been answered by then is billed."""
        await self._called(self._client.messages.batches.cancel(batch), self._timeout_seconds)

    async def _read_results(self, batch: str) -> dict[str, Reply | Failure]:
        found: dict[str, Reply | Failure] = {}
        async for line in await self._client.messages.batches.results(batch):
            result = line.result
            if result.type == "succeeded":
                found[line.custom_id] = self._reply_or_failure(result.message)
            elif result.type == "errored":
                kind, said = (self._without_key(text) for text in (result.error.error.type, result.error.error.message))
                found[line.custom_id] = Failure(faults.verdict_of_type(kind, said), f"{kind}: {said}"[:300])
            else:
                verdict = faults.EXPIRED if result.type == "expired" else faults.CANCELED
                how = self._without_key(str(result.type))
                found[line.custom_id] = Failure(verdict, f"the batch {batch} was {how} before this was answered")
        return found

    def _reply_or_failure(self, message: Any) -> Reply | Failure:
        try:
            return without(self._key.get_secret_value(), reply_of(message))
        except (AttributeError, TypeError, ValueError) as error:  # the SDK checks no types
            return Failure(faults.CONNECTION, f"the reply is not of the Messages API: {type(error).__name__}")

    def _without_key(self, text: str) -> str:
        """What a server says goes into errors and recordings; some say the key that they were shown."""
        key = self._key.get_secret_value()
        return redact(text.replace(key, "***") if key else text)

    def _connection_failure(self, error: Exception) -> Failure:
        """Whether a connection was never made (nothing was asked) or was cut. What caused it lies two errors deep."""
        causes = [error.__cause__, getattr(error.__cause__, "__cause__", None)]
        name = next((type(cause).__name__ for cause in reversed(causes) if cause), "no connection")
        never_made = any("ConnectorError" in base.__name__ for cause in causes for base in type(cause).__mro__)
        return Failure(
            faults.NO_CONNECTION if never_made else faults.CONNECTION, f"{self._client.base_url.host}: {name}"
        )

    def _final(self, failure: Failure, tries: int) -> TutorError:
        error = faults.error_of(failure, tries)
        self._unanswered += 1
        if self._unanswered >= GIVE_UP_AFTER and error.scope != "tutor":
            return TutorError(
                f"{self._unanswered} questions in a row were not answered. {error.message}",
                kind=error.kind,
                scope="tutor",
                hint=error.hint,
            )
        return error


def reply_of(message: Any) -> Reply:
    """An SDK message as plain data."""
    blocks = [*message.content]
    counted = message.usage
    return Reply(
        stop_reason=message.stop_reason,
        text="".join(block.text for block in blocks if block.type == "text"),
        tools=tuple((block.name, block.input) for block in blocks if block.type == "tool_use"),
        model=message.model,
        usage=Usage(
            input_tokens=counted.input_tokens,
            output_tokens=counted.output_tokens,
            cache_read_tokens=counted.cache_read_input_tokens or 0,
            cache_write_tokens=counted.cache_creation_input_tokens or 0,
        ),
    )


def _seconds(headers: Any) -> float | None:
    """The provider's `retry-after` in seconds; None where there is none, or where it is no number."""
    try:
        return float(headers.get("retry-after", ""))
    except ValueError:
        return None
