"""`dayone teach --traces`: what sessions of a log, or of a dump of topics, teach, and what is told of their origin."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from personas.errors import CoreError, SettingsError
from personas.population import DAY_MS
from simulator.behaviour.artefact import load_student
from simulator.options import RunOptions
from simulator.order import lineage_of
from simulator.producer import MemoryProducer
from simulator.simulation import Simulation
from simulator.teach.cli import app
from simulator.teach.oracle import oracle_of
from tests.runs import identity_of, pack_of, simulation_of


@cache
def lived() -> list[dict[str, Any]]:
    """The messages of a run whose users differ from the prior's, as on the topics."""
    truth = oracle_of(simulation_of("shop", users=1).behaviour, {"intent": 0.5, "situation": 0.6, "after": 0.4}, seed=3)
    producer = MemoryProducer()
    plain = simulation_of("shop", users=400, producer=producer)
    simulation = Simulation(plain.pack, plain.identity, plain.shard, producer, behaviour=truth)
    simulation.advance(8 * DAY_MS)
    for sequence in simulation.sequences:
        simulation._send(sequence, sequence.due(10_000 * DAY_MS))
    return [json.loads(record.value) for record in producer.records]


def dump(path: Path) -> Path:
    path.write_text("".join(json.dumps(message) + "\n" for message in lived()))
    return path


def log(path: Path, **names: str) -> Path:
    """The events alone, as a product would keep them: nobody says who they are or what they came for."""
    rows = [
        {names.get("who", "user_id"): each["subject"], "session_id": each["sessionid"], "ts": each["time"],
         "event": names.get(each["type"], each["type"]), "item_id": each["data"].get("product_id")}
        for each in lived() if each["type"] in pack_of("shop").product.events
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def teach(*words: object) -> Result:
    return CliRunner().invoke(app, ["shop", "--json", *map(str, words)])


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_FILE", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_log_of_people_in_their_own_words_teaches_without_a_key_and_the_lineage_says_so(tmp_path: Path) -> None:
    source, out = log(tmp_path / "log.parquet", who="customer", home_viewed="opened"), tmp_path / "student"
    (tmp_path / "map.yaml").write_text("columns: {user_id: customer}\nevents: {opened: home_viewed}\n")
    found = told(teach("--traces", source, "--map", tmp_path / "map.yaml", "--out", out))
    losses = {name: one["log_loss"] for name, one in found["fidelity"].items()}
    assert losses["student, 100%"]["value"] < losses["prior"]["value"] - 0.02
    teacher = found["teacher"]
    assert (teacher["kind"], teacher["dollars"], teacher["real"]) == ("log", 0.0, True)
    assert len(teacher["files"][0]["sha256"]) == 64 and "log.parquet" in str(teacher["files"])
    assert found["generation"] == 1, "one more than that of real rows"
    student = load_student(out, pack_of("shop"))
    assert student.lineage.sessions > 200 and student.lineage.held_out_sessions > 40
    lineage = lineage_of(identity_of("shop", users=1), RunOptions(teacher="student", student=out))
    assert lineage.core is not None, "a run of the student descends from real rows"


def test_a_dump_of_topics_says_who_came_for_what(tmp_path: Path) -> None:
    found = told(teach("--traces", dump(tmp_path / "topics.jsonl"), "--out", tmp_path / "student"))
    losses = {name: one["log_loss"]["value"] for name, one in found["fidelity"].items()}
    assert losses["student, 100%"] < losses["prior"] - 0.05
    assert found["generation"] == 2 and found["teacher"]["ancestors"] and not found["teacher"]["real"]
    assert found["weights"]["items"]["touched"] > 0, "the dump tells what was shown"


def test_sessions_against_the_rules_are_told_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    odd = {"user_id": "a", "session_id": "1", "ts": "2026-01-01T10:00:00Z", "event": "order_completed"}
    pq.write_table(pa.Table.from_pylist([odd]), tmp_path / "odd.parquet")
    result = teach("--traces", tmp_path / "odd.parquet", "--out", tmp_path / "student")
    assert isinstance(result.exception, CoreError)
    assert "1 go against the rules of shop" in str(result.exception)
    assert not (tmp_path / "student").exists()


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    assert isinstance(teach("--map", tmp_path / "map.yaml").exception, SettingsError)
    assert isinstance(teach("--traces", tmp_path, "--tutor", "oracle").exception, SettingsError)
