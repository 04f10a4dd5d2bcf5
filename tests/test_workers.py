"""Tests of one group run in one worker: Apache Kafka is started once, and fixed ports are held by one at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(8))
def test_groups_stay_together(number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    mine = tmp_path_factory.getbasetemp()
    note: Path = (mine.parent if worker != "alone" else mine) / "together"  # the folder that all workers share
    if not note.exists():
        note.write_text(worker)
    assert note.read_text() == worker
