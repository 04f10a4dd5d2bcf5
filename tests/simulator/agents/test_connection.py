"""The key of the language model comes from the environment or a file, and is shown by nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from personas.connection import KafkaConnection
from personas.errors import SettingsError
from personas.settings import told
from simulator.settings import child_environment, load_settings

KEY = "sk-ant-very-secret"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_FILE", "ANTHROPIC_BASE_URL", "DAYONE_TUTOR_CALLS"):
        monkeypatch.delenv(name, raising=False)


def test_the_key_is_shown_as_stars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://ann:geheim@127.0.0.1:8080")
    settings = load_settings()
    assert settings.anthropic_key().get_secret_value() == KEY
    shown = told({"simulator": settings}, True)
    found = {row["variable"]: (row["value"], row["source"]) for row in json.loads(shown)}
    assert found["ANTHROPIC_API_KEY"] == ("***", "environment")
    assert found["ANTHROPIC_BASE_URL"] == ("http://ann:***@127.0.0.1:8080", "environment")
    assert found["DAYONE_TUTOR_MODEL"] == ("claude-haiku-5-5", "default")
    assert KEY not in shown + repr(settings) + str(settings) + settings.model_dump_json()


def test_the_key_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(file))
    settings = load_settings()
    assert settings.anthropic_key().get_secret_value() == KEY
    assert f"file {file}" in told({"simulator": settings}, True)
    with pytest.raises(SettingsError, match="both set"):
        load_settings(anthropic_api_key=KEY).anthropic_key()
    file.unlink()
    with pytest.raises(SettingsError, match="ANTHROPIC_API_KEY_FILE: .*key cannot be read"):
        settings.anthropic_key()


def test_a_fault_names_the_variable_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYONE_TUTOR_CALLS", "none")
    with pytest.raises(SettingsError, match=r"^DAYONE_TUTOR_CALLS \(Calls under way at once, at most\): found 'none'"):
        load_settings()
    with pytest.raises(SettingsError, match=r"^ANTHROPIC_API_KEY \(option\) .*: found \*\*\*, "):
        load_settings(tutor_calls=1, anthropic_api_key=7)


def test_no_other_process_gets_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    assert KEY not in str(child_environment(KafkaConnection(), log_level="info"))
