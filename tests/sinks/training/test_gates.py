"""Gates: what each lets through and what it holds back, and what becomes of runs that are put aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from personas.errors import GateError, PoisonError, TrainingError
from simulator.producer import MemoryProducer
from sinks.audit_log import ENTRIES, HEAD, broken, entries_of
from sinks.place import place_of
from sinks.store import Store
from sinks.training.build import Order, build
from sinks.training.cli import app
from sinks.training.form import Rows
from sinks.training.gates.gate import Evidence, Gate
from sinks.training.gates.judging import all_gates, judge, load_thresholds, require, rows_of
from sinks.training.quarantine import listed, put_aside, putting_aside, release
from sinks.training.registry import all_tasks
from sinks.training.selection import choose
from sinks.training.split import Split
from sinks.training.task import Column
from sinks.training.writing import write_parts
from tests.contracts.gate import GateContract
from tests.runs import filled_store, pack_of, records_of, simulation_of, store_records

TASK = all_tasks()["next_event"]
COLUMNS = TASK.columns(TASK.options())


def fresh() -> Store:
    return filled_store("shop", users=400, days=16)


@pytest.fixture
def store() -> Store:
    return fresh()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """A good run, with its rows."""
    store, folder = fresh(), tmp_path_factory.mktemp("made")
    choose(store, product=None, runs=(), split=Split())
    parts = write_parts(store, TASK.query(TASK.options()), folder, lambda *_: None)
    rows = Rows(TASK.name, "shop", COLUMNS, folder, parts, store.query("FROM chosen_items"))
    with rows_of(rows) as database:
        yield Evidence(store, "shop", COLUMNS, database)


class TestEveryGate(GateContract):
    @pytest.fixture(params=all_gates().values(), ids=all_gates().keys())
    def gate(self, request: pytest.FixtureRequest) -> Gate:
        return request.param

    @pytest.fixture(autouse=True)
    def _made(self, made: Evidence) -> None:
        self.made = made

    def evidence(self) -> Evidence:
        return self.made


def rows_with(made: Evidence, expression: str, extra: str = "") -> Evidence:
    """The same rows, some columns otherwise."""
    assert made.rows is not None
    made.rows.query("CREATE OR REPLACE TEMP TABLE bad AS SELECT * REPLACE (" + expression + ") FROM made " + extra)
    return replace(made, rows=Renamed(made.rows))  # type: ignore[arg-type]


class Renamed:
    """A database whose view `made` is the table `bad`."""

    def __init__(self, database: object) -> None:
        self.database = database

    def query(self, sql: str, *rest: object) -> object:
        return self.database.query(sql.replace("FROM made", "FROM bad"), *rest)  # type: ignore[attr-defined]

    def execute(self, sql: str, *rest: object) -> object:
        return self.database.execute(sql.replace("FROM made", "FROM bad"), *rest)  # type: ignore[attr-defined]


def said(name: str, evidence: Evidence) -> tuple[float, str]:
    gate = all_gates()[name]
    figure, found, _ = gate.judge(evidence, gate.threshold)
    assert (figure > gate.threshold) == bool(found)
    return figure, " | ".join(f"{each.where}: {each.what}" for each in found)


@pytest.mark.parametrize(
    ("gate", "expression", "told"),
    [
        ("schema", "CASE WHEN position = 2 THEN NULL ELSE user_id END AS user_id", "rows where it is empty"),
        ("schema", "'inf'::DOUBLE AS seconds_in_session", "seconds_in_session: "),
        ("schema", "-1::DOUBLE AS weight", "with a weight that is not above 0"),
        ("schema", "'people'::VARCHAR AS origin", "with another origin than 'core', 'synthetic'"),
        ("schema", "0::INTEGER AS generation", "whose generation does not fit their origin"),
        ("schema", "hour::VARCHAR AS hour", "hour: has the type VARCHAR, declared INTEGER"),
        ("label_leakage", "next_type AS device", "device: tells 1.000 of next_type by itself"),
        ("label_leakage", "next_gap_seconds * 3 AS seconds_in_session", "of next_gap_seconds by itself"),
        ("split_overlap", "CASE WHEN position = 1 THEN 'test' ELSE 'train' END AS split_of_row",
         "is in test and train"),
    ],
)  # fmt: skip
def test_rows_that_are_not_fit_are_held_back(made: Evidence, gate: str, expression: str, told: str) -> None:
    figure, words = said(gate, rows_with(made, expression))
    assert told in words
    assert figure > all_gates()[gate].threshold


def test_copies_are_found(made: Evidence) -> None:
    figure, words = said("duplicates", rows_with(made, "position AS position", "UNION ALL BY NAME FROM made"))
    assert figure == pytest.approx(0.5)
    assert "rows are copies" in words


def test_a_shortcut_that_a_task_declares_is_told_and_let_through(made: Evidence) -> None:
    bad = replace(rows_with(made, "next_type AS device"), allowed={"device>next_type": "made up for this test"})
    figure, _, note = all_gates()["label_leakage"].judge(bad, 0.98)
    assert figure < 0.98
    assert "device tells 1.000 of next_type, which is allowed: made up for this test" in note


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE events SET type = 'teleported' WHERE sequence = 3", "type teleported"),
        ("UPDATE events SET item_id = 'p9999x' WHERE sequence = 4", "item p9999x"),
        ("UPDATE events SET time = '0099-01-01T00:00:00Z' WHERE sequence = 4", "year 99"),
    ],
)
def test_what_the_product_does_not_have_is_held_back(store: Store, change: str, told: str) -> None:
    store.query(change)
    choose(store, product=None, runs=(), split=Split())
    assert told in said("vocabulary", Evidence(store, "shop"))[1]


def test_a_run_at_other_hours_or_of_other_users_is_told(store: Store) -> None:
    choose(store, product=None, runs=(), split=Split())
    assert said("drift", Evidence(store, "shop"))[0] < 0.05
    store.query("UPDATE sessions SET started = date_trunc('day', started) + INTERVAL 3 HOUR")
    figure, words = said("drift", Evidence(store, "shop"))
    assert figure > 0.8
    assert "of its sessions begin at other hours than declared, most at 03:00 (+" in words
    other = fresh()
    begun = 1_767_225_600_000_000  # 2026-01-01, in microseconds
    other.query("UPDATE sessions SET started = make_timestamptz(? + (epoch_us(started) - ?) // 12)", [begun, begun])
    choose(other, product=None, runs=(), split=Split())
    assert "times a week, declared 1.7" in said("drift", Evidence(other, "shop"))[1]


@lru_cache
def _records(seed: int) -> tuple[object, ...]:
    producer = MemoryProducer()
    simulation_of("shop", users=400, seed=seed, producer=producer).advance(16 * 86_400_000)
    return tuple(producer.records)


@pytest.fixture
def several() -> Store:
    """Three runs of one pack."""
    store = Store.open(":memory:")
    for number, seed in enumerate((7, 8, 9)):
        store_records(store, pack_of("shop"), list(_records(seed)), first_offset=number * 1_000_000)  # type: ignore[arg-type]
    return store


def run_ids(store: Store) -> list[str]:
    return store.query("SELECT DISTINCT run_id FROM events ORDER BY 1").column(0).to_pylist()


def judged(store: Store) -> tuple[float, str]:
    choose(store, product=None, runs=(), split=Split())
    return said("poisoned_run", Evidence(store, "shop"))


POISON = "UPDATE events SET type = 'order_completed' WHERE run_id = ? AND type = 'product_viewed' AND sequence % 3 = 0"


def test_runs_of_one_pack_are_alike(several: Store) -> None:
    figure, _ = judged(several)
    assert figure < 0.01


def test_the_poisoned_run_is_named_and_not_the_good_ones(several: Store) -> None:
    bad = run_ids(several)[1]
    several.query(POISON, [bad])
    figure, words = judged(several)
    assert figure > 0.03
    assert words.startswith(f"{bad}: ")
    assert words.count("of its events are others") == 1
    assert "product_viewed -" in words
    assert "order_completed +" in words


def test_events_that_a_manifest_does_not_account_for(several: Store) -> None:
    bad = run_ids(several)[0]
    several.query(
        "INSERT INTO runs SELECT run_id, 0, 1, 'shop', 'completed', 400, 16, 7, '2026-01-01', '2026-01-10', now(), "
        "'f', 'prior', 1, '{}', 'c' FROM events WHERE run_id = ? LIMIT 1", [bad]
    )  # fmt: skip
    assert f"{bad}: " in judged(several)[1]
    assert "none that its manifest accounts for" in judged(several)[1]


def test_a_run_that_was_stored_twice_is_found(several: Store) -> None:
    for table in ("events", "sessions"):
        several.query(
            f"INSERT INTO {table} SELECT * REPLACE ('shop-copy' AS run_id) FROM {table} WHERE run_id = ?",
            [run_ids(several)[0]],
        )
    choose(several, product=None, runs=(), split=Split())
    figure, words = said("repeated_sessions", Evidence(several, "shop"))
    assert figure == pytest.approx(0.25, abs=0.03)
    assert "shop-copy: " in words


def test_a_run_in_quarantine_goes_into_nothing_until_it_is_released(several: Store) -> None:
    bad, *good = run_ids(several)
    several.query(POISON, [bad])
    choose(several, product=None, runs=(), split=Split())
    with pytest.raises(PoisonError, match="dayone quarantine release") as caught:
        require(judge(Evidence(several, "shop"), "runs", {}))
    put_aside(several, caught.value.suspects, caught.value.figures)
    assert [run["run_id"] for run in choose(several, product=None, runs=(), split=Split()).runs] == good
    assert judged(several)[0] < 0.03
    with pytest.raises(TrainingError, match=f"Run {bad} is in quarantine"):
        choose(several, product=None, runs=(bad,), split=Split())
    with pytest.raises(TrainingError, match="none was given"):
        release(several, bad, "  ")
    with pytest.raises(TrainingError, match=r"is not in quarantine"):
        release(several, good[0], "because")
    release(several, bad, "an experiment on purpose")
    assert len(choose(several, product=None, runs=(), split=Split()).runs) == 3
    assert judged(several)[0] < 0.03, "what is released is not judged again"
    assert listed(several)[0]["release_reason"] == "an experiment on purpose"
    log = entries_of(several.database.execute(ENTRIES))
    assert [(entry.action, entry.subject) for entry in log] == [("quarantine", bad), ("release", bad)]
    assert broken(log, several.database.execute(HEAD)) == []


def test_a_build_stops_at_a_gate_and_leaves_nothing(several: Store, tmp_path: Path) -> None:
    several.query("UPDATE events SET type = 'teleported' WHERE sequence = 3")
    with pytest.raises(GateError, match=r"(?s)Nothing was published.*vocabulary: .*type teleported"):
        build(several, Order(TASK, TASK.options()), tmp_path)
    assert list(tmp_path.rglob("*.parquet")) == []
    several.query("UPDATE events SET type = 'home_viewed' WHERE type = 'teleported'")
    built = build(several, Order(TASK, TASK.options()), tmp_path)
    assert {verdict.gate for verdict in built.verdicts} == all_gates().keys()
    assert all(verdict.passed for verdict in built.verdicts)


def test_thresholds_can_be_set(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text("vocabulary: 0.5\nlabel_leakage: 1\n")
    assert load_thresholds(path) == {"vocabulary": 0.5, "label_leakage": 1.0}
    store.query("UPDATE events SET type = 'teleported' WHERE sequence = 3")
    choose(store, product=None, runs=(), split=Split())
    require(judge(Evidence(store, "shop"), "runs", {"vocabulary": 0.5, "poisoned_run": 1.0}))
    for text, fault in [
        ("vocabulary: 0.1\nlabel_leak: 1\n", r"gates.yaml:2: there is no gate 'label_leak' \(did you mean label_l"),
        ("\nvocabulary: much\n", r"gates.yaml:2: vocabulary: found 'much', expected a number"),
        ("- a\n", "found no mapping"), ("vocabulary: [", "gates.yaml"),
    ]:  # fmt: skip
        path.write_text(text)
        with pytest.raises(TrainingError, match=fault):
            load_thresholds(path)


def test_commands_list_gates_and_release_runs(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with Store.open(path) as store:
        store_records(store, pack_of("shop"), list(records_of("shop", users=400, days=16)))
        bad = run_ids(store)[0]
    with pytest.raises(PoisonError), putting_aside(place_of(path)):
        raise PoisonError("poisoned", suspects={bad: "it is odd"}, figures={"figure": 0.5})
    runner = CliRunner()
    assert "poisoned_run: " in runner.invoke(app, ["gates"]).output
    told = runner.invoke(app, ["quarantine", "list", "--store", str(path)]).output
    assert bad in told
    assert "it is odd" in told
    given = ["quarantine", "release", bad, "--store", str(path)]
    assert runner.invoke(app, given).exit_code == 2
    assert "goes into training sets again" in runner.invoke(app, [*given, "--reason", "looked at it"]).output
    told = runner.invoke(app, ["quarantine", "list", "--store", str(path), "--json"]).output
    assert '"release_reason": "looked at it"' in told


def test_a_gate_needs_no_column_that_a_task_does_not_have(made: Evidence) -> None:
    column = Column("absent", "feature", "DOUBLE", "Is not there")
    assert "absent: is missing" in said("schema", replace(made, columns=(*made.columns, column)))[1]
