"""The database: migrations, errors for people, views, and what a commit does."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest

from personas.errors import StoreError
from sinks import batch as b
from sinks.columns import SCHEMAS
from sinks.ingest import Decoder
from sinks.migrations import MIGRATIONS
from sinks.store import MEMORY, Store
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import EVENTS, PRODUCT, USERS, batch_of, events, everything, manifest, message, tiny_pack

DECODER = Decoder(vocabulary_of(tiny_pack()))


def filled(path: str | Path = MEMORY, sessions: int = 5) -> Store:
    store = Store.open(path)
    store.load_pack(tiny_pack())
    store.commit(DECODER.decode([batch_of(topic, records) for topic, records in everything(sessions)]), "c")
    return store


def count(store: Store, what: str) -> int:
    return int(store.query(f"SELECT count(*) AS n FROM {what}").to_pylist()[0]["n"])


def test_the_columns_of_the_arrow_schemas_are_those_of_the_tables() -> None:
    with Store.open(MEMORY) as store:
        for name, schema in SCHEMAS.items():
            found = store.query(
                "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [name]
            ).column(0)
            expected = [*schema.names, "cluster_id"] if name == "runs" else schema.names
            assert found.to_pylist() == expected


@pytest.mark.parametrize("problems", ["5", '"x"', '{"a": 1}', '[{"sequence": "u-0.1", "problem": 7}]', "[[[]]]"])
def test_a_label_with_odd_problems_does_not_spoil_the_view_of_all(problems: str) -> None:
    with filled(MEMORY) as store:
        store.query("UPDATE labels SET problems = ? WHERE session_id = 'u0000001-0'", [problems])
        found = store.query("SELECT session_id, sequence FROM problems WHERE problem = 'slow_page'").to_pylist()
        assert [row["sequence"] for row in found] == [1] * 4


def test_every_table_and_view_is_described() -> None:
    with Store.open(MEMORY) as store:
        silent = store.query(
            "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL AND table_name NOT LIKE 'schema_migrations' "
            "UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL"
        )
        assert silent.column(0).to_pylist() == []


def test_opening_twice_applies_migrations_once(tmp_path: Path) -> None:
    for _ in range(2):
        with Store.open(tmp_path / "a.duckdb") as store:
            names = store.query("SELECT name FROM schema_migrations ORDER BY position").column(0).to_pylist()
            assert names == [name for name, _ in MIGRATIONS]


def test_an_older_database_is_brought_up_to_date_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    filled(path).close()
    newer = (*MIGRATIONS, ("more", "CREATE TABLE more (n INTEGER); ALTER TABLE events ADD COLUMN extra VARCHAR;"))
    with pytest.raises(StoreError, match="lacks the migrations more"):
        Store.open(path, read_only=True, migrations=newer)
    with Store.open(path, migrations=newer) as store:
        assert count(store, "events") == 20


def test_a_newer_database_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    Store.open(path, migrations=(*MIGRATIONS, ("future", "CREATE TABLE future (n INTEGER)"))).close()
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(StoreError, match="newer schema.*future.*Nothing was changed"):
        Store.open(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert not path.with_name("a.duckdb.wal").exists()


def test_a_failing_migration_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with pytest.raises(StoreError):
        Store.open(path, migrations=(*MIGRATIONS, ("broken", "CREATE TABLE half (n INTEGER); SELECT nonsense")))
    with Store.open(path) as store:
        assert store.query("SELECT * FROM duckdb_tables() WHERE table_name = 'half'").num_rows == 0


def test_a_missing_directory_a_missing_file_and_a_directory_are_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        Store.open(tmp_path / "no" / "a.duckdb")
    with pytest.raises(StoreError, match="no database yet"):
        Store.open(tmp_path / "a.duckdb", read_only=True)
    with pytest.raises(StoreError, match="found a directory"):
        Store.open(tmp_path)


def test_a_directory_that_may_not_be_written_is_said() -> None:
    if not Path("/proc/sys").is_dir():
        pytest.skip("needs /proc, where nobody may make files")
    with pytest.raises(StoreError, match="not writable"):
        Store.open("/proc/sys/a.duckdb")


def test_another_file_and_anothers_database_are_said(tmp_path: Path) -> None:
    text = tmp_path / "a.duckdb"
    text.write_text("This is no database. " * 1000)
    with pytest.raises(StoreError, match="not a DuckDB database"):
        Store.open(text)
    foreign = tmp_path / "b.duckdb"
    with duckdb.connect(str(foreign)) as connection:
        connection.execute("CREATE TABLE theirs (n INTEGER)")
    with pytest.raises(StoreError, match="not one of Dayone's.*theirs"):
        Store.open(foreign)


def run_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments], capture_output=True, text=True, timeout=60,
        cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip


def test_a_database_that_another_process_holds_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with Store.open(path):
        result = run_python(
            """
            import sys
            from personas.errors import StoreError
            from sinks.store import Store
            for read_only in (False, True):
                try:
                    Store.open(sys.argv[1], read_only=read_only)
                except StoreError as error:
                    print(error)
            """,
            str(path),
        )
    assert result.stdout.count("another process has the database open (PID") == 2, result


def test_a_full_disk_rolls_back_and_the_rows_before_stay(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: both fail the write in the same place."""
    path = tmp_path / "a.duckdb"
    result = run_python(
        """
        import resource, signal, sys
        from personas.errors import StoreError
        from sinks.store import Store
        from tests.sinks.making import EVENTS, batch_of, events
        from tests.sinks.test_store import DECODER, filled
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        filled(sys.argv[1]).close()
        store = Store.open(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
        try:
            for n in range(100):
                store.commit(DECODER.decode([batch_of(EVENTS, events(8000, f"tiny-{n}"), n * 8000)]), "c")
                print("kept", n)
        except StoreError as error:
            print(error)
        import os; sys.stdout.flush(); os._exit(0)
        """,
        str(path),
    )
    assert "the disk is full" in result.stdout, result
    kept = result.stdout.count("kept")
    with Store.open(path) as store:
        assert count(store, "events") == 20 + 8000 * kept
        expected = 8000 * kept if kept else 20
        assert store.positions("c")[EVENTS, 0] == expected


def test_commit_says_what_it_did_and_keeps_positions_by_cluster() -> None:
    store = filled()
    assert store.positions("c")[EVENTS, 0] == 20
    assert store.positions("other") == {}
    again = store.commit(DECODER.decode([batch_of(EVENTS, events(24), 20)]), "c")
    assert (again.rows["events"], again.duplicates["events"]) == (4, 20)
    assert store.positions("c")[EVENTS, 0] == 44


def test_a_failing_commit_leaves_nothing_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled()

    def fail(*_: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(store, "_write_ledger", fail)
    with pytest.raises(OSError, match="power cut"):
        store.commit(DECODER.decode([batch_of(EVENTS, events(40), 20)]), "c")
    assert count(store, "events") == 20
    assert store.positions("c")[EVENTS, 0] == 20


def test_the_latest_user_wins_in_any_order() -> None:
    store = Store.open(MEMORY)
    for offset, (device, time) in enumerate([("b", "2026-01-02"), ("a", "2026-01-01"), ("c", "2026-01-03")]):
        data = {"signed_up": "2026-01-01T00:00:00Z", "device": device}
        raw = message("dayone.user", "u1", "u1", data, time=f"{time}T00:00:00Z")
        store.commit(DECODER.decode([batch_of(USERS, [(b"u1", raw)], offset)]), "c")
    assert store.query("SELECT device FROM users").to_pylist() == [{"device": "c"}]


def test_manifests_keep_the_state_of_each_shard() -> None:
    store = Store.open(MEMORY)
    for offset, state in enumerate(["started", "completed"]):
        records = [manifest(state, shard=shard, shards=2) for shard in (0, 1)]
        store.commit(DECODER.decode([batch_of("dayone.runs", records, offset * 2)]), "c")
    [(shards, states)] = store.run_states("c").values()
    assert (shards, states) == (2, {0: "completed", 1: "completed"})
    assert store.run_states("other") == {}


def test_dead_letters_are_cut_but_their_size_is_true() -> None:
    decoder = Decoder(vocabulary_of(tiny_pack()), max_bytes=1000)
    store = Store.open(MEMORY)
    committed = store.commit(decoder.decode([batch_of(EVENTS, [(b"k", b"x" * 100_000), *events(4)])]), "c")
    assert committed.rows == {"events": 4, "dead_letters": 1}
    [row] = store.query("SELECT reason, octet_length(value) AS kept, value_bytes FROM dead_letters").to_pylist()
    assert row == {"reason": b.TOO_LARGE, "kept": b.KEPT_BYTES, "value_bytes": 100_000}


def test_the_views_of_a_product_are_typed() -> None:
    store = filled()
    row = store.query("SELECT * FROM tiny.product_added ORDER BY event_id LIMIT 1").to_pylist()[0]
    assert (row["product_id"], row["price"], row["gift"]) == ("p2", 9.5, True)
    listed = store.query("SELECT products FROM tiny.product_list_viewed LIMIT 1").to_pylist()[0]["products"]
    assert listed[1:] == ["p1", "p2"]
    kinds = store.query("SELECT typeof(position) AS k FROM tiny.product_viewed LIMIT 1").to_pylist()
    assert kinds == [{"k": "BIGINT"}]


def test_the_analysts_views_answer() -> None:
    store = filled()
    assert store.query("SELECT sum(sessions)::INT AS n FROM sessions_per_day").to_pylist() == [{"n": 5}]
    steps = store.query("SELECT type, sum(sessions)::INT AS n FROM funnel_per_day GROUP BY type, step ORDER BY step")
    assert steps.column("n").to_pylist() == [5, 5, 5, 5]
    assert store.query("SELECT DISTINCT problem FROM problems").to_pylist() == [{"problem": "slow_page"}]
    top = store.query("SELECT title, sum(events)::INT AS n FROM item_popularity GROUP BY ALL ORDER BY n DESC, title")
    assert top.to_pylist()[0] == {"title": "Item 2", "n": 2}


def test_what_a_pack_declares_can_be_asked() -> None:
    pack, store = tiny_pack(), filled()
    types = store.query("SELECT type, item, slate FROM event_types ORDER BY type").to_pylist()
    assert types == [{"type": n, "item": e.item, "slate": e.slate} for n, e in sorted(pack.product.events.items())]
    shown = store.query("SELECT DISTINCT kind FROM event_properties WHERE source = 'slate.items'").to_pylist()
    assert shown == [{"kind": "strings"}]
    goals = {row["intent"]: row["goal"] for row in store.query("SELECT intent, goal FROM intents").to_pylist()}
    assert goals == {name: intent.goal for name, intent in pack.product.intents.items()}
    conversions = store.query("SELECT type FROM event_types WHERE conversion").column("type").to_pylist()
    assert conversions == ([pack.product.conversion] if pack.product.conversion else [])


def test_another_version_of_a_pack_replaces_its_items() -> None:
    store = filled()
    declared = {name: count(store, name) for name in ("event_types", "event_properties", "intents", "slate_positions")}
    store.load_pack(tiny_pack(version=2))
    assert {name: count(store, name) for name in declared} == declared
    assert count(store, "items") == 10
    assert store.query("SELECT DISTINCT pack_fingerprint AS f FROM items").to_pylist() == [{"f": "f2" * 8}]


def test_a_mistake_in_a_query_is_a_store_error() -> None:
    with Store.open(MEMORY) as store, pytest.raises(StoreError, match="cannot be answered"):
        store.query("SELECT nonsense")


@pytest.mark.parametrize("text", ['{"a":"\\u0000"}', '{"a":1e999}', '{"a":' + "9" * 400 + "}", '{"\\u0000":1}'])
def test_odd_json_that_the_decoder_takes_can_be_kept_and_read(text: str) -> None:
    raw = message("product_viewed", "u1-0.0", "u1", {"product_id": "p1", "price": 1.0}, session="u1-0")
    odd = raw.replace(b'{"product_id"', text[:-1].encode() + b',"product_id"')
    batch = DECODER.decode([batch_of(EVENTS, [(b"k", odd)])])
    store = Store.open(MEMORY)
    store.load_pack(tiny_pack())
    store.commit(batch, "c")
    assert count(store, "tiny.product_viewed") == batch.rows


def test_a_file_named_like_its_product_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    path = tmp_path / f"{PRODUCT}.duckdb"
    with Store.open(path) as store, pytest.raises(StoreError, match="named like its product"):
        store.load_pack(tiny_pack())
    with Store.open(tmp_path / f"{PRODUCT}-events.duckdb") as store:
        store.load_pack(tiny_pack())
