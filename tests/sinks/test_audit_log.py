"""The audit log: runs get into it with their rows, every tampering with it is found, and what waits is taken in."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from personas.errors import LockedStoreError, StoreError
from personas.provenance import fingerprint
from sinks import audit_recording, audit_spool
from sinks.audit_log import ENTRIES, GENESIS, HEAD, Entry, Note, anchor_of, broken, entries_of, note
from sinks.place import Place, place_of
from sinks.store import MEMORY, Store
from tests.postgres import Server
from tests.runs import identity_of, tell_of_run

NOW = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)


def chain(store: Store) -> tuple[list[Entry], list[tuple[int, str]]]:
    rows = [tuple(row.values()) for row in store.query(ENTRIES).to_pylist()]
    return entries_of(rows), [tuple(row.values()) for row in store.query(HEAD).to_pylist()]


def noted(count: int) -> Store:
    store = Store.open(MEMORY)
    store.note([note("gate", f"run-{number}", {"verdict": "passed"}, lambda: NOW) for number in range(count)])
    return store


@pytest.mark.parametrize("where", ["{}/a.duckdb", "ducklake:sqlite:{}/a.ducklake"])
def test_runs_are_put_down_when_they_begin_and_when_they_end(where: str, tmp_path: Path) -> None:
    identity = identity_of("shop", users=20)
    subject = f"{identity.run_id}/0"
    with Store.open(where.format(tmp_path)) as store:
        for number, state in enumerate(["started", "started", "completed", "completed"]):
            tell_of_run(store, identity, state=state, number=number)
        tell_of_run(store, identity, state="completed", number=3)  # the same message again
        entries, heads = chain(store)
        states = [(entry.action, entry.subject, json.loads(entry.details)["state"]) for entry in entries]
        assert states == [("run", subject, state) for state in ("started", "completed", "completed")]
        [stored] = store.query("SELECT manifest FROM runs").column(0).to_pylist()
        assert json.loads(entries[-1].details)["manifest_sha256"] == fingerprint(json.loads(stored))
        assert broken(entries, heads) == []
        assert anchor_of(entries) == entries[-1].hash


def test_the_anchor_passes_over_what_builds_leave() -> None:
    with Store.open(MEMORY) as store:
        assert anchor_of(chain(store)[0]) == GENESIS
        store.note([note("quarantine", "shop-1", {"reason": "odd"})])
        before = anchor_of(chain(store)[0])
        store.note([note("build", "next_event/abc", {})])
        assert anchor_of(chain(store)[0]) == before != GENESIS


TAMPERINGS: dict[str, tuple[str, str]] = {
    "changed": ("UPDATE audit_log SET details = '{}' WHERE sequence = 2", "entry 2 .*was changed"),
    "changed in time": ("UPDATE audit_log SET time = time + INTERVAL 1 SECOND WHERE sequence = 2", "was changed"),
    "deleted": ("DELETE FROM audit_log WHERE sequence = 2", "entry 2 .*missing"),
    "deleted and renumbered": (
        "DELETE FROM audit_log WHERE sequence = 2; UPDATE audit_log SET sequence = sequence - 1 WHERE sequence > 2",
        "was changed",
    ),
    "inserted": ("INSERT INTO audit_log SELECT * FROM audit_log WHERE sequence = 2", "entry 3 .*missing, or moved"),
    "reordered": ("UPDATE audit_log SET sequence = 5 - sequence WHERE sequence IN (2, 3)", "entry 2 .*was changed"),
    "cut off": ("DELETE FROM audit_log WHERE sequence = 4", "cut off"),
    "cut off whole": ("DELETE FROM audit_log", "cut off"),
    "without a head": ("DELETE FROM audit_head", "its head says nothing"),
    "another head": ("UPDATE audit_head SET hash = 'x'", "its head says"),
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_every_tampering_is_found(how: str) -> None:
    statements, fault = TAMPERINGS[how]
    with noted(4) as store:
        assert broken(*chain(store)) == []
        for statement in statements.split("; "):
            store.query(statement)
        with pytest.raises(AssertionError, match=fault):
            assert not (faults := broken(*chain(store))), "\n".join(faults)


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
def test_two_who_append_at_once_in_postgres_make_one_chain(postgres: Server, tmp_path: Path) -> None:
    append_from_two(place_of(f"ducklake:postgres:{postgres.make_database()}", str(tmp_path / "files")))


def test_two_who_append_by_turns_in_sqlite_make_one_chain(tmp_path: Path) -> None:
    append_from_two(place_of(f"ducklake:sqlite:{tmp_path}/a.ducklake"))


def append_from_two(place: Place) -> None:
    Store.open(place).close()

    def append(who: str) -> None:
        with Store.open(place) as store:
            for number in range(3):
                store.note([note("gate", f"{who}-{number}", {})])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(append, ("one", "other")))
    with Store.open(place, read_only=True) as store:
        entries, heads = chain(store)
    assert len(entries) == 6
    assert broken(entries, heads) == []


def test_what_fails_leaves_no_entry() -> None:
    with noted(1) as store:
        with pytest.raises(TypeError):
            store.note([note("gate", "a", {}), note("gate", "b", {"what": object()})])
        assert len(chain(store)[0]) == 1


@pytest.fixture
def reader() -> Callable[[Path], subprocess.Popen[str]]:
    """Another process that reads a store until its input ends."""
    code = """
        import sys
        from sinks.store import Store
        with Store.open(sys.argv[1], read_only=True):
            print("open", flush=True)
            sys.stdin.read()
    """

    def start(path: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(path)], stdin=-1, stdout=-1, text=True,
        )  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        return process

    return start


def test_what_cannot_be_written_waits_for_the_next_writer(
    tmp_path: Path, reader: Callable[[Path], subprocess.Popen[str]]
) -> None:
    path = tmp_path / "a.duckdb"
    place = place_of(path)
    Store.open(path).close()
    told = Note("build", "next_event/abc", {"rows": 7}, NOW, "dayone 1", "somebody")
    with reader(path) as process:
        assert not audit_recording.record(place, [told])
        assert audit_spool.waiting(place) == [told]
        process.communicate()
    with Store.open(path, read_only=True) as store:
        assert chain(store)[0] == []
    assert audit_recording.record(place, [replace(told, subject="next_event/def")])
    with Store.open(path) as store:
        entries, heads = chain(store)
        assert [entry.subject for entry in entries] == ["next_event/abc", "next_event/def"]
        assert entries[0].time == NOW
        assert broken(entries, heads) == []
    assert audit_spool.waiting(place) == []


def test_what_was_taken_in_before_a_crash_is_not_taken_in_again(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    spool = audit_spool.spool_of(place_of(path))
    assert spool is not None
    told = Note("build", "next_event/abc", {"rows": 7}, NOW, "dayone 1", "somebody")
    for _ in range(2):
        audit_spool.put(spool, told)
        with Store.open(path) as store:
            assert len(chain(store)[0]) == 1


def test_what_is_no_entry_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    (tmp_path / "a.duckdb.audit").mkdir()
    (tmp_path / "a.duckdb.audit" / "1.json").write_text('{"action": "build"}')
    with Store.open(path) as store:
        assert chain(store)[0] == []
    with pytest.raises(StoreError, match="not an entry for the audit log"):
        audit_spool.waiting(place_of(path))
    assert issubclass(LockedStoreError, StoreError)
