"""What was answered once is answered again: byte for byte, for nothing, after a kill, by several processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from personas.errors import BudgetError, SettingsError, TutorError
from simulator.agents.budget import Budget
from simulator.agents.connection import TutorSettings
from simulator.agents.counts import TutorCounts
from simulator.agents.fakes import RandomModel, ScriptedModel
from simulator.agents.language import Answer, LanguageModel, Message, Request, Usage
from simulator.agents.making import make_language_model
from simulator.agents.recordings import FILE, Mode, Recordings
from simulator.agents.replay import RecordedModel
from tests.stub_anthropic import KEY, Fault, StubAnthropic

SCHEMA = {"type": "object", "properties": {"action": {"enum": ["view", "leave"]}, "n": {"type": "integer"}},
          "required": ["action", "n"], "additionalProperties": False}  # fmt: skip


def request(sample: int = 0, **changes: Any) -> Request:
    asked = {
        "model": "claude-haiku-5-5", "purpose": "walk", "prompt": "walk-1", "system": "You visit a shop.",
        "context": "You are Ann.", "messages": (Message(role="user", text="What do you do?"),),
        "schema_name": "decide", "answer_schema": SCHEMA, "sample": sample,
    }  # fmt: skip
    return Request(**(asked | changes))


def asking(
    path: Path, mode: Mode, model: LanguageModel | None, samples: list[int]
) -> tuple[list[Answer | TutorError], TutorCounts]:
    """What the questions are answered, one after the other."""

    async def main() -> tuple[list[Answer | TutorError], TutorCounts]:
        recorded = RecordedModel(model, Recordings(path, writable=mode != "replay"), mode)
        outcomes: list[Answer | TutorError] = []
        for sample in samples:
            try:
                outcomes.append(await recorded.ask(request(sample)))
            except TutorError as error:
                outcomes.append(error)
        await recorded.close()
        return outcomes, recorded.counts

    return asyncio.run(main())


def told(outcomes: list[Answer | TutorError]) -> list[object]:
    return [
        outcome.content if isinstance(outcome, Answer) else (type(outcome), str(outcome), outcome.kind, outcome.scope)
        for outcome in outcomes
    ]


def test_a_replay_answers_and_fails_as_the_recording_did(tmp_path: Path) -> None:
    refusal = TutorError("no", kind="refusal", scope="session", hint="ask otherwise")
    script = [{"action": "view", "n": 1}, refusal, BudgetError("the ceiling", hint="more"),
              TutorError("later", kind="overloaded")]  # fmt: skip
    path = tmp_path / "folder" / FILE
    recorded, counts = asking(path, "record", ScriptedModel(script), [0, 1, 2, 3, 0, 1])
    assert (counts.recorded, counts.replayed) == (4, 1), "the same question in a run is asked once"
    assert [path.name for path in path.parent.iterdir()] == [FILE], "one file that can be shipped"
    replayed, counts = asking(path, "replay", None, [0, 1, 2, 3, 0, 1])
    assert told(replayed) == told(recorded)
    assert counts.replayed == 2
    answer = replayed[0]
    assert isinstance(answer, Answer)
    assert (answer.replayed, answer.dollars, answer.model) == (True, 0.0, "claude-haiku-5-5")
    assert answer.usage.output_tokens > 0


def test_a_missing_recording_is_an_error_that_ends_the_run(tmp_path: Path) -> None:
    asking(tmp_path / FILE, "record", RandomModel(), [0])
    (error,), _ = asking(tmp_path / FILE, "replay", None, [7])
    assert isinstance(error, TutorError)
    assert (error.kind, error.scope) == ("not_recorded", "tutor")
    assert f"prompt walk-1, model claude-haiku-5-5, sample 7, fingerprint {request(7).fingerprint[:12]}" in str(error)


def test_record_asks_again_and_auto_asks_for_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / FILE
    first, _ = asking(path, "record", RandomModel(1), [0, 1])
    auto, counts = asking(path, "auto", RandomModel(2), [0, 1, 2])
    assert told(auto)[:2] == told(first)
    assert (counts.replayed, counts.recorded) == (2, 1)
    again, _ = asking(path, "record", RandomModel(3), [0, 1])
    assert told(again) != told(first)
    assert told(asking(path, "replay", None, [0, 1, 2])[0]) == told(again) + told(auto)[2:]


def test_auto_repeats_what_would_come_again_and_not_what_passes(tmp_path: Path) -> None:
    path = tmp_path / FILE
    errors = [TutorError("no", kind=kind) for kind in ("refusal", "invalid_answer", "overloaded", "timeout")]
    asking(path, "auto", ScriptedModel([*errors, BudgetError("the ceiling")]), [0, 1, 2, 3, 4])
    outcomes, _ = asking(path, "auto", RandomModel(), [0, 1, 2, 3, 4])
    assert [isinstance(outcome, Answer) for outcome in outcomes] == [False, False, True, True, True]
    outcomes, _ = asking(path, "auto", ScriptedModel([errors[2]]), [9, 9])
    assert told(outcomes)[0] == told(outcomes)[1], "within one run it stays what it was"


def test_the_same_question_at_once_is_asked_once_and_kept_though_nobody_waits(tmp_path: Path) -> None:
    class Slow(RandomModel):
        async def ask(self, request: Request) -> Answer:
            await asyncio.sleep(0.02)
            return (await super().ask(request)).model_copy(update={"dollars": 0.5})

    async def main() -> None:
        model = Slow()
        recorded = RecordedModel(model, Recordings(tmp_path / FILE), "auto")
        answers = await asyncio.gather(*(recorded.ask(request()) for _ in range(5)))
        assert model.asked == 1
        assert sum(answer.dollars for answer in answers) == 0.5
        assert len({str(answer.content) for answer in answers}) == 1
        call = asyncio.create_task(recorded.ask(request(1)))
        await asyncio.sleep(0.001)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await recorded.close()

    asyncio.run(main())
    assert isinstance(Recordings(tmp_path / FILE).find(request(1).fingerprint), Answer)


def test_whatever_may_change_an_answer_is_another_recording() -> None:
    changes: dict[str, Any] = {
        "model": "claude-opus-5", "system": "x", "context": "x", "messages": (Message(role="user", text="x"),),
        "schema_name": "x", "answer_schema": {"type": "object"}, "max_tokens": 9, "sample": 9,
    }  # fmt: skip
    found = {request(**{name: value}).fingerprint for name, value in changes.items()} | {request().fingerprint}
    assert len(found) == len(changes) + 1
    assert request(purpose="plan", prompt="plan-2").fingerprint == request().fingerprint


WRITER = """
import sys
from pathlib import Path
from tests.simulator.agents.test_recordings import request
from simulator.agents.language import Answer
from simulator.agents.recordings import Recordings
recordings = Recordings(Path(sys.argv[1]))
for sample in range(int(sys.argv[2]), int(sys.argv[3])):
    recordings.keep(request(sample), Answer(content={"action": "view", "n": sample}, model="m"))
    print(sample, flush=True)
"""


def writer(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first), str(last)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip


def test_a_kill_loses_nothing_and_two_may_write(tmp_path: Path) -> None:
    path = tmp_path / FILE
    killed, other = writer(path, 0, 10_000_000), writer(path, 20_000_000, 20_000_200)
    assert killed.stdout and other.stdout
    while int(last := killed.stdout.readline()) < 150:
        pass
    killed.send_signal(signal.SIGKILL)
    last = ([last, *killed.communicate(timeout=60)[0].splitlines()])[-1]
    other.communicate(timeout=60)
    recordings = Recordings(path, writable=False)
    for sample in [*range(int(last) + 1), *range(20_000_000, 20_000_200)]:
        found = recordings.find(request(sample).fingerprint)
        assert isinstance(found, Answer) and found.content["n"] == sample
    recordings.close()


def test_a_folder_where_nobody_may_write_is_replayed_from(tmp_path: Path) -> None:
    asking(tmp_path / FILE, "record", RandomModel(), [0])
    (tmp_path / FILE).chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        outcomes, _ = asking(tmp_path / FILE, "replay", None, [0])
    finally:
        tmp_path.chmod(0o755)
    assert isinstance(outcomes[0], Answer)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def make_text(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one" * 20)


def make_other(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (x)")


def make_newer(path: Path) -> None:
    Recordings(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_text, "not a database"),
        (make_other, "is no file of recordings"),
        (make_newer, "is of version 99, expected"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, make: Callable[[Path], None], words: str, writable: bool) -> None:
    make(tmp_path / FILE)
    with pytest.raises(TutorError, match=words):
        Recordings(tmp_path / FILE, writable=writable)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TutorError, match="cannot be opened .there is none"):
        Recordings(tmp_path / FILE, writable=False)


def settings(folder: Path | None, mode: str, url: str | None = None, key: str = KEY) -> TutorSettings:
    return TutorSettings.model_validate(
        {"tutor_recordings": folder, "tutor_recording_mode": mode, "anthropic_base_url": url, "anthropic_api_key": key}
    )


def test_what_the_settings_describe(tmp_path: Path) -> None:
    async def ask_all(chosen: TutorSettings, budget: Budget) -> list[object]:
        model = make_language_model(chosen, budget)
        found: list[object] = []
        for sample in range(4):
            try:
                found.append((await model.ask(request(sample))).content)
            except TutorError as error:
                found.append(str(error))
        await model.close()
        return found

    with StubAnthropic() as stub:
        stub.faults = [None, Fault("refusal")]
        budget = Budget(1.0)
        recorded = asyncio.run(ask_all(settings(tmp_path, "auto", stub.url), budget))
        assert budget.spent == pytest.approx(stub.dollars) and stub.dollars > 0
    free = Budget(0.0)
    assert asyncio.run(ask_all(settings(tmp_path, "replay", key=""), free)) == recorded, "no server, no key, no money"
    assert (free.spent, free.refused) == (0, 0)
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"You are Ann" not in kept and KEY.encode() not in kept and b"127.0.0.1" not in kept


@pytest.mark.parametrize(
    ("chosen", "error", "words"),
    [
        (settings(None, "replay"), SettingsError, "names no folder"),
        (settings(None, "auto", key=""), TutorError, "no key for a language model.*\n.*ANTHROPIC_API_KEY_FILE"),
        (
            settings(None, "auto").model_copy(update={"tutor_model": "gpt-9"}),
            SettingsError,
            "what the model 'gpt-9' costs",
        ),
    ],
)
def test_settings_that_do_not_fit(chosen: TutorSettings, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make_language_model(chosen, Budget())


def test_an_answer_is_kept_whole(tmp_path: Path) -> None:
    content = {"action": "view", "text": "ünïcödé \x00 🙂", "n": 2**60}
    answer = Answer(content=content, model="m", usage=Usage(input_tokens=1, cache_read_tokens=3), dollars=0.25)
    recordings = Recordings(tmp_path / FILE)
    recordings.keep(request(), answer)
    assert recordings.find(request().fingerprint) == answer.model_copy(update={"replayed": True, "dollars": 0.0})
    assert len(recordings) == 1
    recordings.close()
