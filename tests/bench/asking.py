"""Language-model agents: decisions per second with one process against a server that answers at once, and memory.

The stub server of the tests runs in a process of its own, so the figures are the client's: schema, prompt marks,
budget, limits, checks, recording. Beside them stands the SDK alone, asked as many questions at once. Then the answers
are replayed from the recordings, without any server.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from simulator.agents.budget import Budget
from simulator.agents.client import AnthropicModel
from simulator.agents.language import Message, Request
from simulator.agents.prices import shipped_prices
from simulator.agents.question import parameters_of
from simulator.agents.recordings import FILE, Recordings
from simulator.agents.replay import RecordedModel
from tests.bench.figures import Figure
from tests.bench.processes import ROOT, call, end, environment
from tests.stub_anthropic import KEY

#: Decisions per second that one process has to reach, and how much memory may grow over all decisions.
GOAL, GROWTH_GOAL = 300.0, 1.05
AT_ONCE = 32
SDK_DECISIONS = 2_000
SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "maxLength": 200}, "action": {"enum": ["view", "search", "add", "leave"]},
        "item": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "dwell": {"type": "number", "minimum": 0},
    },
    "required": ["reason", "action", "item", "dwell"], "additionalProperties": False,
}  # fmt: skip


def measure(decisions: int) -> list[Figure]:
    """The figures of that many decisions, recorded and replayed."""
    with tempfile.TemporaryDirectory() as folder, _stub() as url:
        live = call(__spec__.name, url=url, folder=folder, decisions=decisions)
    many, first = live["memory"][-1], live["memory"][len(live["memory"]) // 10]
    return [
        Figure("agents", "decisions, recorded", live["rate"], "decisions/s", live["sdk_rate"], "the SDK alone", GOAL),
        Figure("agents", "processor time of a decision", 1000 * live["seconds"] / decisions, "ms",
               1000 * live["sdk_seconds"] / SDK_DECISIONS, "the SDK alone"),
        Figure("agents", "decisions, replayed", live["replay_rate"], "decisions/s"),
        Figure("agents", f"memory after {decisions:,} decisions", many / 1e6, "MB", first / 1e6,
               f"after {decisions // 10:,}", GROWTH_GOAL * first / 1e6, smaller=True),
    ]  # fmt: skip


def request(number: int) -> Request:
    """A question as a walker asks it: rules and product of 6 kB, a persona of 1 kB, a screen of 2 kB."""
    return Request(
        model="claude-haiku-5-5", purpose="walk", prompt="bench-1", system="You are a visitor of a shop. " * 200,
        context=f"You are visitor {number % 500}. " * 50,
        messages=(Message(role="user", text=f"Step {number}. " + "p0303 Washed Linen Pillowcase, 30.90\n" * 50),),
        schema_name="decide", answer_schema=SCHEMA, max_tokens=300, sample=number,
    )  # fmt: skip


async def _ask(url: str, folder: Path, decisions: int) -> dict[str, Any]:
    import psutil

    client = AnthropicModel(SecretStr(KEY), shipped_prices(), Budget(1e6), base_url=url, most_calls=AT_ONCE)
    body = parameters_of(request(0), shipped_prices()["claude-haiku-5-5"], client._sdk.transform_schema)
    for _ in range(50):
        await client._client.messages.create(**body)
    sdk_rate, sdk_seconds = await _timed(SDK_DECISIONS, lambda number: client._client.messages.create(**body))
    model, process, memory = RecordedModel(client, Recordings(folder / FILE), "record"), psutil.Process(), list[int]()

    async def decide(number: int) -> None:
        await model.ask(request(number))
        if number % (decisions // 100) == 0:
            memory.append(process.memory_info().rss)

    rate, seconds = await _timed(decisions, decide)
    assert client.counts.calls == {"answered": decisions}
    await model.close()
    replayed = RecordedModel(None, Recordings(folder / FILE, writable=False), "replay")
    replay_rate, _ = await _timed(decisions, lambda number: replayed.ask(request(number)))
    await replayed.close()
    return {"rate": rate, "seconds": seconds, "sdk_rate": sdk_rate, "sdk_seconds": sdk_seconds, "memory": memory,
            "replay_rate": replay_rate}  # fmt: skip


async def _timed(count: int, ask: Callable[[int], Coroutine[Any, Any, Any]]) -> tuple[float, float]:
    """Calls per second, AT_ONCE under way at any time, and processor seconds."""
    numbers, begun, busy = iter(range(count)), time.monotonic(), time.process_time()

    async def worker() -> None:
        for number in numbers:
            await ask(number)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return count / (time.monotonic() - begun), time.process_time() - busy


@contextmanager
def _stub() -> Iterator[str]:
    stub = subprocess.Popen(
        [sys.executable, "-m", "tests.stub_anthropic"], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert stub.stdout is not None
    try:
        yield stub.stdout.readline().strip()
    finally:
        end(stub)
        stub.stdout.close()


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(_ask(order["url"], Path(order["folder"]), order["decisions"]))))
