"""A server that speaks the Messages API and the Message Batches API as the real one does, with faults on order.

It refuses what the real one refuses (a wrong key, unknown fields, a missing max_tokens, turns in a wrong order, a
forced tool on the newest models, keywords that output formats don't know, ids of batches that are none; see
anthropic_rules.py), counts tokens, keeps a prompt cache, and sends a bill, so that a client's accounts can be compared
with it.

    with StubAnthropic() as stub: ...                      in a thread of its own, on a free port of loopback
    python -m tests.stub_anthropic --port 0                as a process, which prints its address

`stub.faults` is a list of faults for the next requests, one each; None is no fault. What is answered is a random
instance of the schema that was sent, chosen by the hash of the request, or what `respond` makes of the body.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulator.agents.fakes import random_instance
from simulator.agents.prices import shipped_prices
from tests.anthropic_rules import Wrong, check_parameters, count_tokens, error, error_body, usage_of

KEY = "sk-ant-stub-0123456789"
@dataclass(frozen=True)
class Fault:
    """One fault. `status` is an error answer; otherwise `kind`: slow, cut, cut_inside, not_json, refusal, truncated,
    prose, wrong_schema, window."""

    kind: str = "status"
    status: int = 500
    message: str = "on order"
    retry_after: str | None = None
    seconds: float = 0.0


@dataclass
class Batch:
    """A message batch under way: what was asked, and how many looks it takes until it has ended."""

    id: str
    requests: list[dict[str, Any]]
    looks_left: int
    status: str = "in_progress"
    results: list[dict[str, Any]] = field(default_factory=list)


class StubAnthropic:
    """The server. Attributes may be read and set from the test's own thread."""

    def __init__(
        self, key: str = KEY, respond: Callable[[dict[str, Any]], Any] | None = None, delay: float = 0.0
    ) -> None:
        self.key, self.delay = key, delay
        self.respond = respond or answer_at_random
        self.faults: list[Fault | None] = []
        self.batch_results: dict[str, dict[str, Any]] = {}  # custom_id → result, instead of an answer
        self.looks = 1
        self.batches: dict[str, Batch] = {}
        self.bodies: list[dict[str, Any]] = []
        self.keep_bodies = True
        self.counts: Counter[str] = Counter()
        self.dollars = 0.0
        self.at_once = self.most_at_once = 0
        self._cached: set[str] = set()
        self._started = threading.Event()
        self.url = ""

    # Running

    def __enter__(self) -> StubAnthropic:
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def serve(self, port: int = 0) -> None:
        """Until stopped."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=40 * 2**20)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/batches", self._create_batch)
        app.router.add_get("/v1/messages/batches/{id}", self._look_at_batch)
        app.router.add_get("/v1/messages/batches/{id}/results", self._results)
        app.router.add_post("/v1/messages/batches/{id}/cancel", self._cancel_batch)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    # Messages

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._message(request)
        except Wrong as wrong:
            return error(wrong.status, str(wrong))
        finally:
            self.at_once -= 1

    async def _message(self, request: web.Request) -> web.StreamResponse:
        self.counts["requests"] += 1
        body = await self._body(request)
        check_parameters(body)
        if self.keep_bodies:
            self.bodies.append(body)
        fault = self.faults.pop(0) if self.faults else None
        if self.delay:
            await asyncio.sleep(self.delay)
        if fault is None:
            return web.json_response(self._reply(body))
        self.counts[fault.kind if fault.kind != "status" else str(fault.status)] += 1
        if fault.kind == "status":
            return error(fault.status, fault.message, fault.retry_after)
        if fault.kind == "slow":
            reply = self._reply(body)
            await asyncio.sleep(fault.seconds)
            return web.json_response(reply)
        reply = json.dumps(self._reply(body, fault.kind)).encode()
        if fault.kind in ("cut", "cut_inside"):  # after the work was done, and billed
            assert request.transport is not None
            if fault.kind == "cut_inside":
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(reply)}\r\n\r\n"
                request.transport.write(head.encode() + reply[: len(reply) // 2])
            request.transport.close()
            return web.Response()
        return web.Response(body=reply[:-20] if fault.kind == "not_json" else reply, content_type="application/json")

    async def _body(self, request: web.Request) -> dict[str, Any]:
        given = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if given != self.key:
            raise Wrong("invalid x-api-key", 401)
        if "anthropic-version" not in request.headers:
            raise Wrong("anthropic-version: header is required")
        body = await request.json()
        assert isinstance(body, dict)
        return body

    def _reply(self, body: dict[str, Any], kind: str = "", batched: bool = False) -> dict[str, Any]:
        content, stop = self.respond(body), "end_turn"
        blocks: list[dict[str, Any]]
        if kind == "wrong_schema":
            content = {"nothing": "that was asked for"}
        text = "I would rather talk about it." if kind == "prose" else json.dumps(content)
        if kind == "truncated":
            text, stop = text[: len(text) // 2], "max_tokens"
        if body.get("tools") and kind not in ("truncated", "prose"):
            name = body["tool_choice"]["name"]
            blocks, stop = [{"type": "tool_use", "id": "toolu_01", "name": name, "input": content}], "tool_use"
        else:
            blocks = [{"type": "text", "text": text}]
        if kind == "refusal":
            blocks, stop = [], "refusal"
        if kind == "window":
            stop = "model_context_window_exceeded"
        usage = count_tokens(body, len(text.encode()) // 4 + 1, self._cached)
        self.dollars += shipped_prices()[body["model"]].cost(usage_of(usage), batched=batched)
        self.counts["answered"] += 1
        return {"id": f"msg_{self.counts['answered']:024}", "type": "message", "role": "assistant",
                "model": body["model"], "content": blocks, "stop_reason": stop, "stop_sequence": None,
                "usage": usage}  # fmt: skip

    # Batches

    async def _create_batch(self, request: web.Request) -> web.Response:
        try:
            body = await self._body(request)
            fault = self.faults.pop(0) if self.faults else None
            if fault is not None:
                return error(fault.status, fault.message, fault.retry_after)
            requests = body["requests"]
            ids = [each["custom_id"] for each in requests]
            if len(set(ids)) != len(ids) or not all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each) for each in ids):
                raise Wrong("requests: custom_id must be unique, and match [a-zA-Z0-9_-]{1,64}")
        except Wrong as wrong:
            return error(wrong.status, str(wrong))
        batch = Batch(f"msgbatch_{len(self.batches) + 1:08}", requests, self.looks)
        self.batches[batch.id] = batch
        self.counts["batches"] += 1
        return web.json_response(self._shown(batch, request))

    async def _look_at_batch(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        self.counts["looks"] += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            return error(fault.status, fault.message, fault.retry_after)
        if batch is None:
            return error(404, "there is no such batch")
        batch.looks_left -= 1
        if batch.looks_left <= 0 and batch.status != "ended":
            self._end(batch)
        return web.json_response(self._shown(batch, request))

    async def _cancel_batch(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        batch.status = "canceling"
        self.batch_results |= {each["custom_id"]: {"type": "canceled"} for each in batch.requests}
        return web.json_response(self._shown(batch, request))

    def _end(self, batch: Batch) -> None:
        batch.status = "ended"
        for each in batch.requests:
            result = self.batch_results.get(each["custom_id"])
            if result is None:
                try:
                    check_parameters(each["params"])
                    kind = ""
                    result = {"type": "succeeded", "message": self._reply(each["params"], kind, batched=True)}
                except Wrong as wrong:
                    result = {"type": "errored", "error": error_body(wrong.status, str(wrong))}
            batch.results.append({"custom_id": each["custom_id"], "result": result})
        batch.results.sort(key=lambda line: hashlib.sha256(line["custom_id"].encode()).hexdigest())

    async def _results(self, request: web.Request) -> web.Response:
        lines = self.batches[request.match_info["id"]].results
        return web.Response(text="".join(json.dumps(line) + "\n" for line in lines), content_type="application/x-jsonl")

    def _shown(self, batch: Batch, request: web.Request) -> dict[str, Any]:
        kinds = Counter(line["result"]["type"] for line in batch.results)
        names = ("succeeded", "errored", "canceled", "expired")
        ended = batch.status == "ended"
        return {"id": batch.id, "type": "message_batch", "processing_status": batch.status,
                "request_counts": {"processing": 0 if ended else len(batch.requests)} | {n: kinds[n] for n in names},
                "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z", "archived_at": None,
                "ended_at": "2026-01-01T01:00:00Z" if ended else None, "cancel_initiated_at": None,
                "results_url": f"{request.url.origin()}/v1/messages/batches/{batch.id}/results" if ended else None,
                }  # fmt: skip


def answer_at_random(body: dict[str, Any]) -> Any:
    """A random instance of the schema that was sent."""
    made = ((body.get("output_config") or {}).get("format") or {}).get("schema")
    schema = made or body["tools"][0]["input_schema"]
    return random_instance(schema, hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest())


async def main() -> None:
    """Serve until interrupted; the first line of the output is the address."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    arguments = parser.parse_args()
    stub = StubAnthropic(delay=arguments.delay)
    stub.keep_bodies = False
    serving = asyncio.create_task(stub.serve(arguments.port))
    while not stub.url:
        await asyncio.sleep(0.01)
    print(stub.url, flush=True)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
