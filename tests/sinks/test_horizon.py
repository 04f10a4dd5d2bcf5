"""The horizon must say `beyond` only where no event can be stored already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from sinks.horizon import Horizon

START = datetime(2026, 1, 1, tzinfo=UTC)


def events(*rows: tuple[str, int, int]) -> pa.Table:
    """Events as (run, partition, minutes after the start)."""
    times = pa.array([START + timedelta(minutes=minute) for _, _, minute in rows], pa.timestamp("us", "UTC"))
    return pa.table({
        "run_id": pa.array([run for run, _, _ in rows], pa.string()),
        "topic_partition": pa.array([partition for _, partition, _ in rows], pa.int32()),
        "time": times,
    })  # fmt: skip


def test_what_earlier_processes_stored_counts_for_all_partitions() -> None:
    horizon = Horizon(lambda run: START + timedelta(minutes=10) if run == "known" else None)
    assert horizon.beyond(horizon.spans(events(("new", 0, 0), ("new", 1, 5))))
    assert horizon.beyond(horizon.spans(events(("known", 0, 11))))
    assert not horizon.beyond(horizon.spans(events(("known", 0, 11), ("known", 3, 10))))


def test_partitions_of_this_process_advance_by_themselves() -> None:
    horizon = Horizon(lambda run: None)
    horizon.stored(horizon.spans(events(("run", 0, 100), ("run", 1, 5))))
    assert horizon.beyond(horizon.spans(events(("run", 1, 6))))
    assert not horizon.beyond(horizon.spans(events(("run", 0, 100))))
    horizon.stored(horizon.spans(events(("run", 0, 50))))
    assert not horizon.beyond(horizon.spans(events(("run", 0, 99))))


@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=6), max_size=8))
def test_a_repeated_event_is_never_beyond(batches: list[list[tuple[int, int]]]) -> None:
    horizon, stored = Horizon(lambda run: None), set[tuple[int, int]]()
    for batch in batches:
        spans = horizon.spans(events(*(("run", partition, minute) for partition, minute in batch)))
        if stored & set(batch):
            assert not horizon.beyond(spans)
        horizon.stored(spans)
        stored |= set(batch)
