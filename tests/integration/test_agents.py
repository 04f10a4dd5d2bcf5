"""Agents in the whole program: what they decide is stored, repeated without a server, and the key is nowhere."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.integration.program import Program, ask, assert_same, of_store, until
from tests.nursery import Starter
from tests.stub_anthropic import Fault, StubAnthropic

KEY = "sk-ant-api03-nobody-may-see-this-1234567890"
AGENTS = ("--teacher", "tutor", "--tutor-share", 1, "--recordings", "recordings")
RUN = ("up", "shop", "--users", 150, "--days", 3, *AGENTS)


def ended(program: Program) -> Program:
    code = program.wait(150)
    assert code == 0, program.err
    return program


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_no_key_anywhere_and_the_same_again_without_a_server(dayone: Starter, tmp_path: Path) -> None:
    settings = {"DAYONE_LOG_LEVEL": "debug", "DAYONE_LOG_FORMAT": "json"}
    with StubAnthropic(key=KEY) as stub:
        stub.faults = [Fault(status=429), Fault("cut"), None, Fault(status=400, message=f"no, {KEY}"), Fault("refusal")]
        keyed = {**settings, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": stub.url}
        recorded = ended(dayone(*RUN, "--store", "a.duckdb", env=keyed))
        stub.key = "another"
        refused = dayone(*RUN[:-2], "--store", "b.duckdb", env=keyed)
        assert refused.wait(60) == 11
        assert "401" in refused.err
    assert stub.counts["answered"] > 20
    replayed = ended(dayone(*RUN, "--replay", "--store", "c.duckdb", env=settings))
    rows = of_store(dayone.folder / "a.duckdb")
    assert len(rows["sessions"]) > 10
    assert_same(of_store(dayone.folder / "c.duckdb"), rows)
    (generators,) = ask(dayone.folder / "a.duckdb", "SELECT list_sort(list(DISTINCT generator)) FROM events")
    assert "tutor" in generators[0]
    outputs = "".join(program.out + program.err for program in (recorded, refused, replayed))
    assert '"level": "debug"' in outputs
    assert KEY not in outputs
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"a.duckdb", "recordings.sqlite"} <= {file.name for file in files}
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []
    query = "SELECT properties::VARCHAR FROM events UNION ALL SELECT manifest::VARCHAR FROM runs"
    texts = ask(dayone.folder / "a.duckdb", query)
    assert not any(KEY in text for (text,) in texts)


@pytest.mark.local_llm
def test_local_llm_prints_what_to_export_and_ends_when_told(dayone: Starter, local_llm: str) -> None:
    serving = dayone("local-llm", "--port", 0, "--threads", 1, "--context", 512, "--slots", 1)
    until(lambda: "Ctrl-C" in serving.err, serving, timeout=90)
    address, model = serving.out.splitlines()
    assert re.fullmatch(r"export ANTHROPIC_BASE_URL=http://127\.0\.0\.1:\d+", address)
    assert model == "export DAYONE_TUTOR_MODEL=local/SmolLM2-135M-Instruct.Q4_1"
    serving.signal(signal.SIGINT)
    assert serving.wait(30) == 0
    taken = dayone("local-llm", "--port", local_llm.rpartition(":")[2])
    assert taken.wait(90) == 6
    assert "Give another --port" in taken.err
