"""What every store must do so that nothing is lost and nothing is kept twice: inherit the class, give `open_store`.

A store is made by `open_store(path)` and has `commit(batch, cluster_id)`, `positions(cluster_id)`, `query(sql)` and
`close()`. Opened again on the same path it goes on where it was, also after its process was killed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sinks.ingest import Decoder
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import EVENTS, batch_of, events, everything, session_events, tiny_pack

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
