"""Files that several processes write: whoever opens one while another has it alone waits, and says so in the end."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from simulator.agents.shared_file import open_shared


def held(path: Path) -> sqlite3.Connection:
    """Another process in the midst of making the file: SQLite refuses to change its log at once, and does not wait."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_a_file_that_another_has_alone_is_waited_for(tmp_path: Path) -> None:
    other = held(tmp_path / "a.sqlite")
    release = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    release.start()
    database = open_shared(tmp_path / "a.sqlite")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    release.join()
    database.close()
    other.close()


def test_it_is_not_waited_for_without_end(tmp_path: Path) -> None:
    other = held(tmp_path / "a.sqlite")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        open_shared(tmp_path / "a.sqlite", seconds=0.05)
    other.close()


def test_a_file_that_is_no_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_text("no database" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        open_shared(tmp_path / "a.sqlite")


def test_many_may_make_it_at_once(tmp_path: Path) -> None:
    """Two in one moment is what failed: eight, forty times."""
    failures: list[Exception] = []

    def make(path: Path, gate: threading.Barrier) -> None:
        gate.wait()
        try:
            open_shared(path).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    for number in range(40):
        gate = threading.Barrier(8)
        makers = [threading.Thread(target=make, args=(tmp_path / f"{number}.sqlite", gate)) for _ in range(8)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
    assert not failures
