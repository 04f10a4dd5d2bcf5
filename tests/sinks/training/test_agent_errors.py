"""Sessions in which an agent failed are kept, say so in the labels, and go into no training set."""

from __future__ import annotations

from typing import Any

import pytest

from personas.population import DAY_MS
from simulator.agents.language import Request
from sinks.store import MEMORY, Store
from sinks.training.loading import load_sets
from sinks.training.registry import all_tasks, options_of
from sinks.training.split import Split
from tests.runs import pack_of, store_records
from tests.simulator.agents.brains import BrainModel, chance, random_legal
from tests.simulator.agents.walking import walking


def unreliable(request: Request) -> Any:
    """Every tenth question has no answer that can be used, and asking again does not help."""
    hopeless = chance(request, "unreliable") % 10 == 0 or len(request.messages) > 1
    return {"action": "dance"} if hopeless else random_legal(request)


@pytest.fixture(scope="module")
def store() -> Store:
    with walking("shop", BrainModel(unreliable), users=150) as walk:
        walk.simulation.advance(16 * DAY_MS)
    store = Store.open(MEMORY)
    store_records(store, pack_of("shop"), walk.simulation.producer.records)  # type: ignore[attr-defined]
    return store


def test_the_labels_tell_how_each_session_ended(store: Store) -> None:
    counted = store.query("SELECT outcome, count(*) AS n FROM labels WHERE kind = 'session' GROUP BY ALL").to_pylist()
    found = {row["outcome"]: row["n"] for row in counted}
    assert found["agent_error"] > 20 and found["left"] > 20 and None not in found


def test_no_row_of_any_set_is_of_a_session_in_which_the_agent_failed(store: Store) -> None:
    listed = store.query("SELECT session_id FROM labels WHERE outcome = 'agent_error'").column(0).to_pylist()
    failed, looked_at = set(listed), 0
    for task in all_tasks().values():
        rows = load_sets(store, task, options_of(task, {}), None, (), Split(valid=0, test=0))[0].to_pylist()
        if rows and "session_id" in rows[0]:
            looked_at += 1
            assert len(rows) > 20 and not failed & {row["session_id"] for row in rows}, task.name
    assert looked_at >= 3
