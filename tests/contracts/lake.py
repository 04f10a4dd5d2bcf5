"""What every lake must do with several writers at once: inherit the class, give `place`.

Two stores in one process are two DuckDB instances, so they are as blind to one another as two processes are.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from personas.errors import StoreError
from sinks.ledger import LakeLedger
from sinks.maintenance import Upkeep, compact, expire, snapshots
from sinks.mishaps import Conflict, Fenced
from sinks.place import Place, place_of
from sinks.store import Store
from tests.contracts.sink_exactly_once import DECODER, event_ids, ids
from tests.sinks.making import EVENTS, USERS, batch_of, events, message

HALF = 400


class ManyWriters:
    """The suite."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def two(self, place: Place) -> Iterator[tuple[Store, Store]]:
        with Store.open(place) as first, Store.open(place) as second:
            yield first, second

    def test_one_that_lost_its_partition_writes_nothing(self, two: tuple[Store, Store]) -> None:
        old, new = two
        records = events(2 * HALF)
        old.claim([(EVENTS, 0)], "c")
        old.commit(DECODER.decode([batch_of(EVENTS, records[:HALF])]), "c")
        late = DECODER.decode([batch_of(EVENTS, records[HALF:], HALF)])
        assert new.claim([(EVENTS, 0)], "c") == {(EVENTS, 0): HALF}
        with pytest.raises(Fenced, match=f"taken over {EVENTS}/0"):
            old.commit(late, "c")
        assert ids(new) == event_ids(HALF)
        new.commit(late, "c")
        with pytest.raises(Fenced):
            old.commit(late, "c")
        assert ids(new) == event_ids(2 * HALF)
        assert old.claim([(EVENTS, 0)], "c") == {(EVENTS, 0): 2 * HALF}

    @pytest.mark.parametrize("first", ["the commit", "the claim"])
    def test_a_commit_and_a_claim_that_overlap_do_not_both_succeed(self, two: tuple[Store, Store], first: str) -> None:
        """Both begin before either has ended: each would find nothing wrong in its own snapshot."""
        old, new = two
        for store in two:
            store.database.turns = contextlib.nullcontext
        old.claim([(EVENTS, 0)], "c")
        batch = DECODER.decode([batch_of(EVENTS, events(HALF))])
        claims = LakeLedger(new.database)
        commit, claim = old.database.transaction(), new.database.transaction()
        commit.__enter__()
        claim.__enter__()
        old.database.execute("SELECT count(*) FROM commits")
        claims.claim([(EVENTS, 0)], "c")
        old._write_ledger(batch, 0, "c")
        earlier, later = (commit, claim) if first == "the commit" else (claim, commit)
        earlier.__exit__(None, None, None)
        with pytest.raises(Conflict):
            later.__exit__(None, None, None)

    def test_writers_of_different_partitions_keep_everything(self, place: Place) -> None:
        """At the same time, in threads of their own, with users among the rows; then another opens the lake."""
        runs, failures = [f"tiny-{n}" for n in range(3)], []

        def write(partition: int) -> None:
            try:
                with Store.open(place) as store:
                    store.claim([(EVENTS, partition), (USERS, partition)], "c")
                    for start in range(0, HALF, 100):
                        records = events(HALF, runs[partition])[start : start + 100]
                        person = [user(runs[partition], start)]
                        given = ((EVENTS, records), (USERS, person))
                        batch = DECODER.decode([batch_of(topic, what, start, partition) for topic, what in given])
                        store.commit(batch, "c")
            except Exception as error:  # noqa: BLE001 - shown by the test
                failures.append(error)

        threads = [threading.Thread(target=write, args=(partition,)) for partition in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        with Store.open(place, read_only=True) as store:
            found = store.query("SELECT count(*) AS n, count(DISTINCT (run_id, event_id)) AS d FROM events").to_pylist()
            assert found == [{"n": 3 * HALF, "d": 3 * HALF}]
            assert set(store.positions("c").values()) == {HALF, HALF - 99}
            assert store.query("SELECT count(*) AS n FROM users").to_pylist() == [{"n": 12}]

    def test_folding_changes_nothing_that_is_told(
        self, two: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sinks.ledger.FOLD_EVERY", 3)
        store, other = two
        other.commit(DECODER.decode([batch_of(EVENTS, events(20, "tiny-other"), 0, 1)]), "c")
        for start in range(0, 280, 40):
            store.commit(DECODER.decode([batch_of(EVENTS, events(280)[start : start + 40], start)]), "c")
        assert store.positions("c") == {(EVENTS, 0): 280, (EVENTS, 1): 20}
        sums = store.query("SELECT messages::INT AS m, events::INT AS e FROM ingests ORDER BY m").to_pylist()
        assert sums == [{"m": 20, "e": 20}, {"m": 280, "e": 280}]
        kept = store.query("SELECT count(*) AS n FROM commits WHERE cluster_id <> ''").to_pylist()
        assert kept == [{"n": 3}], "one of the other, one folded twice, one since"

    def test_it_can_be_asked_as_it_was(self, place: Place) -> None:
        with Store.open(place) as store:
            store.commit(DECODER.decode([batch_of(EVENTS, events(20))]), "c")
            [then] = store.query("SELECT id FROM lake.current_snapshot()").column(0).to_pylist()
            [when] = store.query(
                "SELECT snapshot_time::VARCHAR FROM lake.snapshots() ORDER BY snapshot_id DESC LIMIT 1"
            ).column(0).to_pylist()
            store.commit(DECODER.decode([batch_of(EVENTS, events(40)[20:], 20)]), "c")
        for at in (str(then), when):
            with Store.open(place, at=at) as before:
                assert ids(before) == event_ids(20)
                assert before.positions("c") == {(EVENTS, 0): 20}
        with pytest.raises(StoreError, match="No snapshot found"):
            Store.open(place, at="1000000")

    def test_small_files_become_large_ones_beside_a_sink_and_nothing_is_lost(self, two: tuple[Store, Store]) -> None:
        store, other = two
        records = events(8 * 40)
        for start in range(0, 240, 40):
            store.commit(DECODER.decode([batch_of(EVENTS, records[start : start + 40], start)]), "c")
        [now] = store.query("SELECT id FROM lake.current_snapshot()").column(0).to_pylist()
        failures = []

        def tidy() -> None:
            try:
                done.append(compact(other.database))
            except StoreError as error:
                failures.append(error)

        done: list[Upkeep] = []
        thread = threading.Thread(target=tidy)
        thread.start()
        for start in (240, 280):
            store.commit(DECODER.decode([batch_of(EVENTS, records[start : start + 40], start)]), "c")
        thread.join()
        assert not failures, failures
        done.append(compact(other.database))
        assert done[-1].files_after < 8 <= done[0].files_before + 2
        assert ids(store) == event_ids(8 * 40)
        assert snapshots(other.database, 100)[-1].number == 0
        tried = expire(other.database, timedelta(0), dry_run=True)
        later = datetime.now(UTC) + timedelta(seconds=60)
        expired = expire(other.database, timedelta(0), grace=timedelta(0), now=later)
        assert (tried.snapshots, tried.removed) == (expired.snapshots, []), tried
        assert expired.snapshots and expired.removed, expired
        assert ids(store) == event_ids(8 * 40)
        assert store.positions("c") == {(EVENTS, 0): 8 * 40}
        with pytest.raises(StoreError, match="No snapshot found"):
            Store.open(place_of(store.path), at=str(now))

    def test_a_reader_cannot_change_anything(self, place: Place) -> None:
        Store.open(place).close()
        with Store.open(place, read_only=True) as store, pytest.raises(StoreError, match="(?i)read.only"):
            store.query("INSERT INTO claims VALUES ('c', 't', 0, 99)")


def user(run: str, number: int) -> tuple[bytes, bytes]:
    data = {"signed_up": "2026-01-01T00:00:00Z", "device": "phone"}
    return b"u", message("dayone.user", f"u{number}", f"u{number}", data, run=run)
