"""Agents in the whole program: `dayone up --teacher tutor`, from answers of a model to rows in a database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from personas.pack import load_pack
from sinks.legality import violations
from sinks.store import Store
from tests.integration.program import ask
from tests.nursery import Starter
from tests.personas.small_pack import PERSONA_FILE, PRODUCT_FILE, SmallPack
from tests.stub_anthropic import KEY, StubAnthropic

pytestmark = pytest.mark.kafka
TUTOR = ("--teacher", "tutor", "--tutor-share", 1, "--metrics-port", 0, "--json")


def hurried_pack(folder: Path) -> Path:
    """The small pack with visits of a few steps, so that a small model gets through many of them."""
    pack = SmallPack(folder)
    pack.change(PERSONA_FILE, "patience: {median: 10}", "patience: {median: 1}")
    pack.change(PERSONA_FILE, "sessions_per_week: {median: 2}", "sessions_per_week: {median: 7}")
    pack.change(PRODUCT_FILE, "    category: draw\n", "")
    return folder


def held_to_the_rules(pack: Path, store: Path) -> dict[str, int]:
    """Fails where an illegal event is stored; how many sessions ended how."""
    product = load_pack(pack).product
    with Store.open(store) as opened:
        (run,) = {row["run_id"] for row in opened.query("SELECT DISTINCT run_id FROM runs").to_pylist()}
        assert violations(opened.query, product, run) == []
        counted = opened.query(
            "SELECT outcome, count(*) AS n FROM labels WHERE kind = 'session' GROUP BY ALL"
        ).to_pylist()
    assert ask(store, "SELECT count(*) FROM dead_letters") == [(0,)]
    return {row["outcome"]: row["n"] for row in counted}


def test_a_run_with_plans_is_stored(dayone: Starter, tmp_path: Path) -> None:
    pack, store = hurried_pack(tmp_path / "pack"), tmp_path / "planned.duckdb"
    with StubAnthropic() as stub:
        env = {"ANTHROPIC_BASE_URL": stub.url, "ANTHROPIC_API_KEY": KEY}
        command = ("up", pack, "--users", 40, "--days", 20, *TUTOR, "--tutor-mode", "plan", "--budget", 1, "--batches")
        planned = dayone(*command, "--store", store, env=env)
        assert planned.wait(100) == 0, planned.err
    report, ended = json.loads(planned.out)["tutor"], held_to_the_rules(pack, store)
    assert sum(ended.values()) >= 30 and set(ended) <= {"left", "problem", "step_bound"}
    assert report["plans"] > 4 and 1 < report["calls"] < 10 and 0 < report["dollars"] < 1


@pytest.mark.local_llm
@pytest.mark.thorough
@pytest.mark.timeout(1500)
def test_a_real_model_walks_whole_sessions_onto_kafka_and_into_the_database(
    dayone: Starter, tmp_path: Path, local_llm: str
) -> None:
    """A model of this size chooses near chance: this is about the machinery, not about people."""
    pack, store = hurried_pack(tmp_path / "pack"), tmp_path / "walked.duckdb"
    env = {
        "ANTHROPIC_BASE_URL": local_llm, "DAYONE_TUTOR_MODEL": "local/SmolLM2", "DAYONE_TUTOR_TIMEOUT_SECONDS": "600",
        "DAYONE_TUTOR_CALLS": "2",
    }  # fmt: skip
    command = ("up", pack, "--users", 6, "--days", 12, *TUTOR, "--budget", 0, "--store", store)
    walked = dayone(*command, env=env)
    assert walked.wait(1400) == 0, walked.err
    report = json.loads(walked.out)["tutor"]
    ended = held_to_the_rules(pack, store)
    assert sum(ended.values()) >= 20 and ended.get("agent_error", 0) < 0.3 * sum(ended.values()), report
    assert report["calls"] >= 20 and report["dollars"] == 0 and report["tokens"]["output"] > 0
    assert ask(store, "SELECT DISTINCT generator FROM events") == [("tutor",)]
