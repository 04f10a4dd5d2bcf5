"""The audit of dependencies: what it makes of a report, of exceptions and of no answer at all."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests import audit
from tests.audit import Answer, Exempt, Vulnerability, exceptions_of, judge, main, read

TODAY = date(2026, 6, 1)
REPORT: dict[str, Any] = {
    "dependencies": [
        {"name": "quiet", "version": "1.0", "vulns": []},
        {"name": "shaky", "version": "2.0", "vulns": [
            {"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": ["CVE-2026-0001"], "description": "It shakes."}
        ]},
        {"name": "stranger", "skip_reason": "Dependency not found on PyPI and could not be audited: stranger (1)"},
    ],
    "fixes": [],
}  # fmt: skip
SHAKY = Vulnerability("shaky", "2.0", ("PYSEC-2026-1", "CVE-2026-0001"), ("2.1",))


def exempt(**change: Any) -> Exempt:
    fields = {"id": "CVE-2026-0001", "package": "shaky", "reason": "We do not shake it.", "until": TODAY}
    return Exempt(**(fields | change))


def test_a_report_is_read() -> None:
    assert read(REPORT) == Answer(2, 1, (SHAKY,))


def test_a_vulnerability_is_a_fault_unless_it_is_excepted_by_any_of_its_names() -> None:
    assert judge(read(REPORT), [], TODAY) == ["shaky 2.0: PYSEC-2026-1, CVE-2026-0001, mended in 2.1"]
    for name in SHAKY.names:
        assert judge(read(REPORT), [exempt(id=name)], TODAY) == []
    assert len(judge(read(REPORT), [exempt(package="other")], TODAY)) == 2


def test_an_exception_ends_and_is_not_kept_for_nothing() -> None:
    assert "ended on 2026-06-01" in judge(read(REPORT), [exempt()], date(2026, 6, 2))[0]
    assert judge(Answer(3, 0, ()), [exempt()], TODAY) == ["the exception for CVE-2026-0001 covers nothing: take it out"]


@pytest.mark.parametrize(
    "text",
    [
        "[[exception]]\nid = 'a'", "[[exception]]\nid='a'\npackage='b'\nreason='A good reason.'\nuntil='soon'",
        "[[exception]]\nid='a'\npackage='b'\nreason='so'\nuntil=2026-01-01", "[[",
    ],
)  # fmt: skip
def test_an_exception_has_a_reason_and_a_last_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        exceptions_of(text)


def test_our_own_exceptions_can_be_read() -> None:
    assert isinstance(exceptions_of(audit.EXCEPTIONS.read_text("utf-8")), list)


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--strict"], 4)])
@pytest.mark.parametrize("answer", ["no route to host", Answer(0, 60, ())])
def test_where_nobody_answers_it_says_so_and_is_not_taken_for_good_news(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, answer: Any
) -> None:
    monkeypatch.setattr(audit, "ask", lambda service: answer)
    assert main(arguments) == code
    assert "NOT AUDITED" in capsys.readouterr().out


def test_the_next_service_is_asked_where_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "ask", lambda service: read(REPORT) if service == "osv" else "no answer")
    assert main([]) == 1
    assert "2 packages asked about at osv, 1 unknown there, 1 faults" in capsys.readouterr().out


def test_an_answer_that_is_none_is_told_in_the_words_of_the_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "Traceback\nConnectionError: no network")

    monkeypatch.setattr(subprocess, "run", run)
    assert audit.ask("pypi") == "ConnectionError: no network"


def test_exceptions_that_cannot_be_read_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    monkeypatch.setattr(audit, "EXCEPTIONS", tmp_path / "none.toml")
    assert main([]) == 2
