"""The DuckDB store keeps the contract; and a sink that is killed anywhere in a batch keeps everything exactly once."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sinks.store import Store
from tests.contracts.sink_exactly_once import ExactlyOnce, event_ids, ids

TOTAL = 4000
BATCH = 100

WRITER = """
import os, signal, sys
from pathlib import Path
from sinks.store import Store
from tests.contracts.sink_exactly_once import DECODER
from tests.sinks.making import EVENTS, batch_of, events

path, moment, after = sys.argv[1], sys.argv[2], int(sys.argv[3])
records = events(%d)
store = Store.open(path)
commits = 0

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

while (start := store.positions("c").get((EVENTS, 0), 0)) < len(records):
    batch = DECODER.decode([batch_of(EVENTS, records[start : start + %d], start)], store.positions("c"))
    commits += 1
    if commits == after and moment == "before the offsets":
        store._write_offsets = die
    if commits == after and moment == "before COMMIT":
        store._write_ingest = die
    store.commit(batch, "c")
    if commits == after and moment == "before the acknowledgement":
        die()
""" % (TOTAL, BATCH)  # noqa: UP031


class TestDuckDB(ExactlyOnce):
    def open_store(self, path: Path) -> Any:
        return Store.open(path)


@pytest.mark.parametrize("moment", ["before the offsets", "before COMMIT", "before the acknowledgement"])
def test_killed_in_the_middle_of_a_batch_and_started_again(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "store.duckdb"
    codes = []
    for after in (3, 9, 0):
        result = subprocess.run(
            [sys.executable, "-c", WRITER, str(path), moment, str(after)], capture_output=True, text=True, timeout=60,
            cwd=Path(__file__).parents[2], check=False,
        )  # fmt: skip
        codes.append((result.returncode, result.stderr))
    assert [code for code, _ in codes] == [-signal.SIGKILL, -signal.SIGKILL, 0], codes
    with Store.open(path) as store:
        assert ids(store) == event_ids(TOTAL)
