"""`dayone teach` on the command line: what it prints, where it goes on, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from personas.errors import SettingsError, StudentError, TutorError
from simulator.agents.spending import FILE, Payer, Spending
from simulator.behaviour.artefact import load_student
from simulator.teach.cli import app
from tests.runs import pack_of
from tests.stub_anthropic import KEY, StubAnthropic


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_FILE", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def teach(*words: str) -> Result:
    return CliRunner().invoke(app, ["shop", *words])


def test_a_student_of_an_oracle_is_told_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "student"
    result = teach("--tutor", "oracle", "--sessions", "22", "--out", str(out), "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    student = load_student(out, pack_of("shop"))
    assert told["fingerprint"] == student.behaviour.fingerprint and told["stopped"] is False
    assert told["teacher"]["kind"] == "oracle" and told["generation"] == 2
    assert list(told["fidelity"]) == ["prior", "student, 25%", "student, 50%", "student, 100%"]
    assert told["fidelity"]["prior"]["log_loss"]["low"] < told["fidelity"]["prior"]["log_loss"]["high"]

    again = teach("--tutor", "oracle", "--sessions", "22", "--out", str(out))
    assert again.exit_code == 0, again.output
    assert f"student {student.behaviour.fingerprint[:12]} of shop" in again.stdout, "the end is reached: the same again"
    assert "student, 100%" in again.stdout and "an oracle costs nothing" in again.stdout
    assert f"dayone simulate shop --teacher student --student {out}" in again.stdout
    assert max(len(line) for line in again.stdout.splitlines()) <= 132 + len(str(out))

    with pytest.raises(StudentError, match="it differs in: seed"):
        raise_of(teach("--tutor", "oracle", "--sessions", "22", "--seed", "2", "--out", str(out)))


def raise_of(result: Result) -> None:
    assert result.exception is not None, result.output
    raise result.exception


def test_without_a_key_nobody_is_asked_and_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "student"
    with pytest.raises(TutorError, match="no key for a language model"):
        raise_of(teach("--budget", "1", "--out", str(out)))
    assert not out.exists()


def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--record and --replay contradict"):
        raise_of(teach("--recordings", str(tmp_path), "--record", "--replay"))


def test_a_model_that_costs_nothing_needs_a_number_of_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("models:\n  free/:\n    {input: 0, output: 0, cache_write: 0, cache_read: 0}\n")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DAYONE_TUTOR_PRICES", str(prices))
    monkeypatch.setenv("DAYONE_TUTOR_MODEL", "free/small")
    with pytest.raises(SettingsError, match="a budget is no end"):
        raise_of(teach("--out", str(tmp_path / "student")))
    with pytest.raises(SettingsError, match="Plans are paid for once"):
        raise_of(teach("--tutor-mode", "plan", "--out", str(tmp_path / "student")))


def test_no_money_at_all_buys_nothing(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="nothing to learn from"):
        raise_of(teach("--tutor", "oracle", "--budget", "0", "--out", str(tmp_path / "student")))


def test_a_course_that_was_killed_in_the_midst_of_a_round_has_only_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the killed round had reserved is all of the budget: nobody is asked."""
    out = tmp_path / "student"
    killed = Spending(out / FILE, Payer("course", "all", 0.5))
    killed.reserve(0.5)
    killed.close()
    with StubAnthropic() as stub:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", stub.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        with pytest.raises(StudentError, match="nothing to learn from"):
            raise_of(teach("--budget", "0.5", "--sessions", "4", "--out", str(out)))
        assert stub.dollars == 0 and stub.counts["requests"] == 0
