"""The commands `sql` and `summary`, and how errors leave them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from personas.errors import StoreError
from sinks import query
from sinks.cli import app
from sinks.store import Store
from sinks.summary import next_commands, note_of_others, summarize
from tests.sinks.making import EVENTS, PRODUCT, RUN_ID, batch_of, manifest
from tests.sinks.test_store import DECODER, filled


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "a.duckdb"
    with filled(path) as opened:
        opened.commit(DECODER.decode([batch_of(EVENTS, [(b"k", b"nonsense")], 20)]), "c")
        opened.commit(DECODER.decode([batch_of("dayone.runs", [manifest()])]), "c")
    return path


def call(*arguments: str, code: int = 0, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    assert result.exit_code == code, result.output
    return result.output


def test_sql_prints_a_table_that_is_plain_and_not_cut(store: Path) -> None:
    out = call("sql", "SELECT event_id, time, properties FROM events ORDER BY event_id LIMIT 2", "--store", str(store))
    assert "u0000000-0.0  2026-01-01 00:00:00" in out
    assert "\x1b" not in out and "…" not in out


def test_sql_as_csv_and_json(store: Path) -> None:
    sql = "SELECT 1 AS n, TIMESTAMPTZ '2026-01-02 00:00:00Z' AS t, NULL AS x, [1, 2] AS l, 'a,b' AS s"
    assert call("sql", sql, "--store", str(store), "--format", "csv").splitlines() == [
        "n,t,x,l,s", '1,2026-01-02 00:00:00,,"[1, 2]","a,b"',
    ]  # fmt: skip
    row = json.loads(call("sql", sql, "--store", str(store), "--format", "json"))
    assert row == {"n": 1, "t": "2026-01-02T00:00:00Z", "x": None, "l": [1, 2], "s": "a,b"}


def test_a_long_answer_is_cut_with_a_note_only_in_a_table(store: Path) -> None:
    out = call("sql", "SELECT * FROM range(500)", "--store", str(store))
    assert "Only the first 100 rows" in out
    assert len(call("sql", "SELECT * FROM range(500)", "--store", str(store), "--format", "csv").splitlines()) == 501


def test_tables_are_listed_with_their_comments(store: Path) -> None:
    out = call("sql", ".tables", "--store", str(store))
    assert "tiny.product_viewed" in out and "What users did" in out


def test_nothing_can_be_changed(store: Path) -> None:
    out = call("sql", "DELETE FROM events", "--store", str(store), code=5)
    assert "read-only" in out


def test_a_mistake_is_a_message_and_not_a_traceback(store: Path) -> None:
    out = call("sql", "SELECT nonsense FROM events", "--store", str(store), code=5)
    assert "cannot be answered" in out and "Traceback" not in out


def test_the_prompt_takes_statements_over_several_lines_and_goes_on_after_mistakes(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["SELECT count(*)", " AS events_there FROM events;", "SELECT oops;", ";", ".tables", "SELECT 7 AS seven;"]
    lines = iter([*typed, ".quit"])
    with Store.open(store, read_only=True) as opened:
        query.prompt(opened, ask=lambda _: next(lines))
    out = capsys.readouterr().out
    assert "events_there" in out and "20" in out and "oops" in out and "item_popularity" in out and "seven" in out


def test_statements_from_a_pipe_end_with_the_first_mistake_and_need_no_semicolon(store: Path) -> None:
    out = call("sql", "--store", str(store), "--format", "csv", stdin="SELECT 3 AS three;\nSELECT 7 AS seven")
    assert out.split() == ["three", "3", "seven", "7"], "no banner between the rows"
    call("sql", "--store", str(store), stdin="SELECT oops;\nSELECT 7;", code=5)


def test_the_prompt_survives_control_c_and_ends_at_the_end(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = iter(["SELECT", KeyboardInterrupt(), "SELECT 5 AS five;", EOFError()])

    def ask(_: str) -> str:
        line = next(lines)
        if isinstance(line, BaseException):
            raise line
        return line

    with Store.open(store, read_only=True) as opened:
        query.prompt(opened, ask=ask)
    assert "five" in capsys.readouterr().out


def test_summary_for_people(store: Path) -> None:
    out = call("summary", "--store", str(store))
    for text in (str(store), "5 users, 5 sessions, 20 events", "order_completed", "Item 2", "1 not_json", "Next:"):
        assert text in out
    assert "\x1b" not in out


def test_summary_for_machines(store: Path) -> None:
    found = json.loads(call("summary", "--store", str(store), "--json"))
    assert (found["users"], found["sessions"], found["events"]) == (5, 5, 20)
    assert [step["sessions"] for step in found["funnel"]] == [5, 5, 5, 5]
    assert found["dead_letters"] == {"not_json": 1}
    assert found["runs"][0]["state"] == "completed"
    assert found["size_bytes"] > 0


def test_summary_of_one_run_and_of_none(store: Path) -> None:
    assert json.loads(call("summary", "--store", str(store), "--json", "--run", RUN_ID))["events"] == 20
    assert "no run 'nope'" in call("summary", "--store", str(store), "--run", "nope", code=5)


def test_the_next_commands_work(store: Path) -> None:
    import shlex

    with Store.open(store, read_only=True) as opened:
        commands = next_commands(summarize(opened))
    for command in commands:
        call(*shlex.split(command)[1:], stdin=".quit\n")


def test_runs_that_are_added_up_are_told(store: Path) -> None:
    alone = call("summary", "--store", str(store))
    assert "runs:" not in alone
    with Store.open(store) as opened:
        mine = summarize(opened).runs[0]["run_id"]
        assert note_of_others(opened, PRODUCT, mine) == "" == note_of_others(opened, PRODUCT)
        assert f"already holds 1 other run of {PRODUCT} ({mine})" in note_of_others(opened, PRODUCT, "another")
        opened.commit(DECODER.decode([batch_of("dayone.runs", [manifest(seed=2)], 1)]), "c")
        assert "already holds 2 runs" in note_of_others(opened, PRODUCT)
        assert note_of_others(opened, "another product") == ""
    assert "2 runs: counts and views take in all runs" in call("summary", "--store", str(store))
    assert "2 runs:" not in call("summary", "--store", str(store), "--run", mine)


def test_an_empty_database_has_a_summary(tmp_path: Path) -> None:
    Store.open(tmp_path / "a.duckdb").close()
    assert "0 users, 0 sessions, 0 events" in call("summary", "--store", str(tmp_path / "a.duckdb"))


def test_a_missing_database_is_said(tmp_path: Path) -> None:
    assert "no database yet" in call("summary", "--store", str(tmp_path / "a.duckdb"), code=5)


def test_bytes_nulls_and_markup_are_printed_as_they_are(store: Path) -> None:
    out = io.StringIO()
    with Store.open(store, read_only=True) as opened:
        query.answer(opened, "SELECT '[red]x[/red]' AS m, NULL AS n, 'a'::BLOB AS b, DATE '2026-01-02' AS d", out=out)
        assert out.getvalue().split() == ["m", "n", "b", "d", "[red]x[/red]", "a", "2026-01-02"]
        with pytest.raises(StoreError):
            query.answer(opened, "FROM nowhere", out=out)


def test_help_is_light() -> None:
    """`--help` must not import what is heavy."""
    heavy = ("duckdb", "pyarrow", "numpy", "faststream", "confluent_kafka", "kafka", "prometheus_client", "rich")
    program = f"import sys, sinks.cli; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, cwd=Path(__file__).parents[2],
        check=True,
    )  # fmt: skip
    assert result.stdout.strip() == "[]"
