"""An exported log: the rows of the store, whole or not at all, and remembered by the audit log."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from typer.testing import CliRunner

from dayone import front_door
from personas.errors import StoreError, TrainingError
from sinks.store import Store
from sinks.training import selection
from sinks.training.export import export
from tests.runs import identity_of, pack_of, records_of, store_records, tell_of_run
from tests.sinks.training.making import told_store


def nobody(done: int, of: int, rows: int) -> None:
    """No progress is shown."""


def stored(store: Store) -> list[dict[str, object]]:
    return store.query(
        "SELECT user_id, session_id, time AS ts, sequence AS step, type AS event, item_id, run_id, generator, "
        "generation, properties::VARCHAR AS properties FROM events ORDER BY user_id, time, session_id, sequence"
    ).to_pylist()


def test_it_holds_every_event_of_a_run_in_the_order_of_each_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "EVENTS_PER_SHARD", 100)  # several shards
    store = told_store()
    written = export(store, tmp_path / "log.parquet", progress=nobody)
    table = pq.read_table(written.path)
    expected = stored(store)
    assert table.num_rows == written.events == len(expected) > 400
    order = [(name, "ascending") for name in ("user_id", "ts", "session_id", "step")]
    assert table.sort_by(order).to_pylist() == expected
    users = table["user_id"].to_pylist()
    starts = [user for user, before in zip(users, [None, *users], strict=False) if user != before]
    assert len(starts) == len(set(starts)), "the rows of a user are together"
    assert json.loads(table.schema.metadata[b"dayone"]) == {
        "synthetic": True, "generation": 1, "real": False, "ancestors": [f"run {identity_of('shop', users=60).run_id}"],
    }  # fmt: skip
    assert written.sha256 == hashlib.sha256(written.path.read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


def test_it_is_the_same_bytes_again_and_the_same_rows_as_csv(tmp_path: Path) -> None:
    store = told_store()
    first, second = (export(store, tmp_path / f"{name}.parquet", progress=nobody) for name in "ab")
    assert first.sha256 == second.sha256
    text = csv.read_csv(export(store, tmp_path / "log.csv", progress=nobody).path)
    assert text.column_names == pq.read_schema(first.path).names
    assert text["event"].to_pylist() == pq.read_table(first.path)["event"].to_pylist()


def test_ids_of_several_runs_stay_apart(tmp_path: Path) -> None:
    store = told_store()
    other = identity_of("shop", users=60, problem_rate=0.5)
    store_records(store, pack_of("shop"), list(records_of("shop", users=60, days=6, problem_rate=0.5)))
    table = pq.read_table(export(store, tmp_path / "both.parquet", progress=nobody).path)
    assert set(table["run_id"].to_pylist()) == {other.run_id, identity_of("shop", users=60).run_id}
    assert all(
        row["user_id"].startswith(f"{row['run_id']}/") for row in table.select(["user_id", "run_id"]).to_pylist()
    )
    one = pq.read_table(export(store, tmp_path / "one.parquet", runs=[other.run_id], progress=nobody).path)
    assert set(one["run_id"].to_pylist()) == {other.run_id}


def test_it_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, target = told_store(), tmp_path / "log.parquet"

    def breaks(writer: object, reader: object) -> int:
        raise StoreError("The rows cannot be made.")

    with monkeypatch.context() as patched:
        patched.setattr("sinks.training.export.copy_into", breaks)
        with pytest.raises(StoreError):
            export(store, target, progress=nobody)
    assert list(tmp_path.iterdir()) == []
    target.write_text("mine")
    with pytest.raises(TrainingError, match="exists already"):
        export(store, target, progress=nobody)
    assert target.read_text() == "mine"
    with pytest.raises(TrainingError, match="no log is written as"):
        export(store, tmp_path / "log.xlsx", progress=nobody)


def test_the_audit_log_remembers_what_left_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store.open("dayone.duckdb") as store:
        store_records(store, pack_of("shop"), list(records_of("shop", users=60, days=6)))
        tell_of_run(store, identity_of("shop", users=60), days=6)
    run = CliRunner().invoke(front_door(), ["export", "--out", "log.parquet", "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.output)
    kept = CliRunner().invoke(front_door(), ["audit", "log", "--action", "export", "--json"])
    entry = json.loads(kept.output)
    assert entry["subject"] == "log.parquet"
    assert entry["details"]["sha256"] == told["sha256"]
