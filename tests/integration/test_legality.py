"""A million events of every shipped pack, stored through the sink's own decoder and store, and not one illegal.

No broker: the messages go from a producer that keeps them straight to the decoder, a few virtual days at a time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from personas.population import DAY_MS
from simulator.producer import MemoryProducer
from sinks.legality import violations
from sinks.store import Store
from tests.runs import PACKS, pack_of, simulation_of, store_records

EVENTS = 1_000_000
USERS = 20_000


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PACKS)
def test_a_million_events_without_a_violation(name: str, tmp_path: Path) -> None:
    producer = MemoryProducer()
    simulation = simulation_of(name, users=USERS, producer=producer)
    topic = f"dayone.{pack_of(name).product.name}.events"
    sent = hours = 0
    with Store.open(tmp_path / "million.duckdb", memory_limit="2GB") as store:
        while sent < EVENTS:
            hours += 24
            sent += simulation.advance(hours * DAY_MS // 24)
            records = [record for record in producer.records if record.topic == topic]
            producer.records.clear()
            store_records(store, pack_of(name), records, first_offset=sent)
        counted = store.query("SELECT count(*) AS n, count(DISTINCT session_id) AS sessions FROM events").to_pylist()[0]
        assert counted["n"] == sent and counted["sessions"] > sent / 30
        assert store.query("SELECT * FROM dead_letters LIMIT 1").num_rows == 0
        assert violations(store.query, pack_of(name).product, simulation.identity.run_id) == []
