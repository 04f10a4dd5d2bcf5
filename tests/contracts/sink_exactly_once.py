"""What every store must do so that nothing is lost and nothing is kept twice: inherit the class, give `open_store`.

A store is made by `open_store(path)` and has `commit(batch, cluster_id)`, `positions(cluster_id)`, `query(sql)` and
`close()`. Opened again on the same path it goes on where it was, also after its process was killed. `words(path)` gives
what a process of its own needs to open it (see killed_writer.py).
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from personas.errors import StoreError
from sinks.ingest import Decoder
from sinks.migrations import LAKE_MIGRATIONS, MIGRATIONS
from sinks.place import place_of
from sinks.store import Store
from sinks.vocabulary import vocabulary_of
from tests.nursery import Starter
from tests.sinks.making import (
    EVENTS,
    USERS,
    batch_of,
    events,
    everything,
    message,
    session_events,
    tiny_pack,
)

TOTAL = 1000
BATCH = 100

DECODER = Decoder(vocabulary_of(tiny_pack()))


def ids(store: Any, table: str = "events", key: str = "event_id") -> list[str]:
    found: list[str] = store.query(f"SELECT {key} FROM {table} ORDER BY ALL").column(0).to_pylist()
    return found


def event_ids(count: int) -> list[str]:
    batch = DECODER.decode([batch_of(EVENTS, events(count))])
    return sorted(batch.tables["events"].column("event_id").to_pylist())


class ExactlyOnce:
    """The suite."""

    def open_store(self, path: Path) -> Any:
        raise NotImplementedError

    def words(self, path: Path) -> list[str]:
        """The place and the data path, as `place_of` takes them."""
        return [str(path), ""]

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "store.duckdb"

    def test_the_same_messages_read_again_are_skipped_by_their_offsets(self, path: Path) -> None:
        store = self.open_store(path)
        for _ in range(2):
            batch = DECODER.decode([batch_of(EVENTS, events(40))], store.positions("c"))
            store.commit(batch, "c")
        assert batch.skipped == 40
        assert ids(store) == event_ids(40)
        store.close()

    def test_a_partly_known_fetch_adds_only_what_is_new(self, path: Path) -> None:
        store = self.open_store(path)
        for count in (25, 40):
            store.commit(DECODER.decode([batch_of(EVENTS, events(count))], store.positions("c")), "c")
        assert ids(store) == event_ids(40)
        store.close()

    def test_a_run_replayed_on_another_cluster_is_recognised_by_its_ids(self, path: Path) -> None:
        store = self.open_store(path)
        tables = {"events": "event_id", "sessions": "session_id", "users": "user_id", "labels": "label_id"}
        before: dict[str, list[str]] = {}
        for cluster in ("first", "second"):
            for topic, records in everything(12):
                batch = DECODER.decode([batch_of(topic, records, partition=3)], store.positions(cluster))
                assert not batch.skipped
                store.commit(batch, cluster)
            found = {table: ids(store, table, key) for table, key in tables.items()}
            assert before in ({}, found)
            before = found
        assert {table: len(rows) for table, rows in before.items()} == {
            "events": 48, "sessions": 12, "users": 12, "labels": 24,
        }  # fmt: skip
        store.close()

    def test_a_replay_that_goes_further_adds_the_rest(self, path: Path) -> None:
        store = self.open_store(path)
        store.commit(DECODER.decode([batch_of(EVENTS, events(30))]), "c")
        committed = store.commit(DECODER.decode([batch_of(EVENTS, events(50), 30)]), "c")
        assert (committed.rows["events"], committed.duplicates["events"]) == (20, 30)
        assert ids(store) == event_ids(50)
        store.close()

    def test_two_runs_with_the_same_ids_are_both_kept(self, path: Path) -> None:
        store = self.open_store(path)
        for offset, run in ((0, "tiny-a"), (4, "tiny-b")):
            store.commit(DECODER.decode([batch_of(EVENTS, session_events(1, run), offset)]), "c")
        assert len(ids(store)) == 8
        store.close()

    def test_positions_and_rows_are_there_together_when_opened_again(self, path: Path) -> None:
        store = self.open_store(path)
        store.commit(DECODER.decode([batch_of(EVENTS, events(40))]), "c")
        store.close()
        store = self.open_store(path)
        assert store.positions("c") == {(EVENTS, 0): 40}
        assert ids(store) == event_ids(40)
        store.close()

    def test_a_dead_letter_moves_the_position_as_well(self, path: Path) -> None:
        store = self.open_store(path)
        store.commit(DECODER.decode([batch_of(EVENTS, [(b"k", b"nonsense")])]), "c")
        assert store.positions("c") == {(EVENTS, 0): 1}
        store.close()

    def test_killed_in_the_middle_of_batches_and_started_again(self, path: Path, forked: Starter) -> None:
        codes = []
        for moment in ("before the offsets", "before COMMIT", "before the acknowledgement", "never"):
            writer = forked(*self.words(path), moment, 3, module=("tests.contracts.killed_writer",))
            codes.append((writer.wait(), writer.err))
        assert [code for code, _ in codes] == [*[-signal.SIGKILL] * 3, 0], codes
        store = self.open_store(path)
        assert ids(store) == event_ids(TOTAL)
        store.close()

    def test_migrations_are_applied_once_and_a_newer_schema_is_refused(self, path: Path) -> None:
        for _ in range(2):
            store = self.open_store(path)
            names = store.query("SELECT name FROM schema_migrations ORDER BY position").column(0).to_pylist()
            store.close()
        place = place_of(*self.words(path))
        known = LAKE_MIGRATIONS if place.is_lake else MIGRATIONS
        assert names == [name for name, _ in known]
        newer = (*known, ("future", "CREATE TABLE future (n INTEGER); ALTER TABLE events ADD COLUMN extra VARCHAR;"))
        Store.open(place, migrations=newer).close()
        with pytest.raises(StoreError, match="newer schema.*future.*Nothing was changed"):
            self.open_store(path)
        with pytest.raises(StoreError, match="lacks the migrations more"):
            Store.open(place, read_only=True, migrations=(*newer, ("more", "CREATE TABLE more (n INTEGER)")))

    def test_the_latest_user_wins_in_any_order(self, path: Path) -> None:
        store = self.open_store(path)
        for offset, (device, time) in enumerate([("b", "2026-01-02"), ("a", "2026-01-01"), ("c", "2026-01-03")]):
            data = {"signed_up": "2026-01-01T00:00:00Z", "device": device}
            raw = message("dayone.user", "u1", "u1", data, time=f"{time}T00:00:00Z")
            store.commit(DECODER.decode([batch_of(USERS, [(b"u1", raw)], offset)]), "c")
        assert store.query("SELECT device FROM users").to_pylist() == [{"device": "c"}]
        store.close()

    def test_a_pack_its_views_and_the_analysts_views_answer(self, path: Path) -> None:
        store = self.open_store(path)
        for version in (1, 2):
            store.load_pack(tiny_pack(version=version))
        store.commit(DECODER.decode([batch_of(topic, records) for topic, records in everything(5)]), "c")
        assert store.query("SELECT count(*) AS n, min(pack_fingerprint) AS f FROM items").to_pylist() == [
            {"n": 10, "f": "f2" * 8}
        ]
        row = store.query("SELECT * FROM tiny.product_added ORDER BY event_id LIMIT 1").to_pylist()[0]
        assert (row["product_id"], row["price"], row["gift"]) == ("p2", 9.5, True)
        assert store.query("SELECT sum(sessions)::INT AS n FROM sessions_per_day").to_pylist() == [{"n": 5}]
        assert store.query("SELECT DISTINCT problem FROM problems").to_pylist() == [{"problem": "slow_page"}]
        assert store.query("SELECT sum(messages)::INT AS n FROM ingests").to_pylist() == [{"n": 45}]
        silent = store.query(
            "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL AND table_name <> 'schema_migrations' "
            "AND database_name = current_database() UNION ALL SELECT view_name FROM duckdb_views() "
            "WHERE NOT internal AND comment IS NULL AND schema_name = 'main' AND database_name = current_database()"
        )
        assert silent.column(0).to_pylist() == []
        store.close()
