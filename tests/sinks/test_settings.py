"""Settings, logging and errors as people meet them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from personas.console import fail
from personas.errors import SettingsError, StoreError
from personas.logs import setup_logging
from sinks.settings import load_settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("DAYONE_"):
            monkeypatch.delenv(name)


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.store, settings.sink_batch_rows, settings.sink_batch_seconds) == ("./dayone.duckdb", 122_880, 1.0)
    assert (settings.sink_metrics_port, settings.metrics_host, settings.log_format) == (9102, "127.0.0.1", "text")
    assert settings.connection.bootstrap_servers is None


def test_the_environment_is_read_and_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYONE_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setenv("DAYONE_STORE", "/data/a.duckdb")
    monkeypatch.setenv("DAYONE_LOG_FORMAT", "")
    settings = load_settings(store="b.duckdb", sink_batch_rows=None)
    assert settings.connection.bootstrap_servers == "kafka:9092"
    assert (settings.store, settings.log_format) == ("b.duckdb", "text")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DAYONE_SINK_BATCH_ROWS", "many"),
        ("DAYONE_SINK_BATCH_ROWS", "0"),
        ("DAYONE_SINK_METRICS_PORT", "70000"),
        ("DAYONE_LOG_FORMAT", "xml"),
        ("DAYONE_STORE_MEMORY_LIMIT", "1GB'; DROP TABLE events"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert name in str(caught.value) and f"found {value!r}" in str(caught.value)


def test_a_wrong_option_is_said_to_be_one() -> None:
    with pytest.raises(SettingsError, match=r"DAYONE_SINK_BATCH_ROWS \(option\)"):
        load_settings(sink_batch_rows=-1)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers, root.level = handlers, level


def test_json_lines_have_fields_and_no_secrets(stream: io.StringIO) -> None:
    setup_logging("json", "info", stream)
    log = logging.getLogger("dayone.test")
    log.debug("not shown")
    log.warning("the token=abc123 of %s", "us", extra={"rows": 5, "where": "password: hunter2"})
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == "the token=*** of us"
    assert (first["level"], first["rows"], first["where"]) == ("warning", 5, "password: ***")
    assert first["time"].endswith("+00:00")
    assert "ValueError: broken" in second["exception"]


def test_text_lines_and_setting_up_twice(stream: io.StringIO) -> None:
    setup_logging("text", "info", stream)
    setup_logging("text", "info", stream)
    logging.getLogger("dayone.test").info("hello", extra={"rows": 5})
    assert stream.getvalue().count("info dayone.test: hello rows=5\n") == 1


@pytest.mark.parametrize(("format_", "level"), [("xml", "info"), ("text", "loud")])
def test_unknown_formats_and_levels_are_refused(format_: str, level: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        setup_logging(format_, level)


def test_fail_prints_the_message_and_the_hint_and_exits_with_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        fail(StoreError("a.duckdb: [red]locked[/red]", hint="Wait."))
    assert caught.value.code == 5
    assert capsys.readouterr().err == "Error: a.duckdb: [red]locked[/red]\n  Wait.\n"
