"""A hundred thousand events of every shipped pack, and a million where there is time, stored through the sink's own
decoder and store, and not one illegal.

No broker: the messages go from a producer that keeps them straight to the decoder, a few virtual days at a time: up to
some hundred thousand events in a transaction, as a sink with much to do takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from personas.population import DAY_MS
from simulator.message_producer import Bytes, Numbers, python_bytes
from simulator.producer import MemoryProducer
from sinks.batch import Messages
from sinks.ingest import Decoder
from sinks.legality import violations
from sinks.store import MEMORY, Store
from sinks.vocabulary import vocabulary_of
from tests.runs import PACKS, pack_of, simulation_of

#: As many users as make so many events in some weeks.
EVENTS_PER_USER = 50

@dataclass
class EventsOnly(MemoryProducer):
    """Keeps the values of one topic as they came, and no record of anything else."""

    topic: str = ""
    sent: list[tuple[Sequence[bytes], Sequence[bytes]]] = field(default_factory=list)

    def send(self, topic: str, values: Bytes, keys: Bytes, partitions: Numbers) -> None:
        if topic == self.topic:
            self.sent.append((python_bytes(keys), python_bytes(values)))


@pytest.mark.parametrize("name", PACKS)
def test_a_hundred_thousand_events_without_a_violation(name: str) -> None:
    without_a_violation(name, 100_000, days=9)


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PACKS)
def test_a_million_events_without_a_violation(name: str) -> None:
    without_a_violation(name, 1_000_000, days=3)


def without_a_violation(name: str, wanted: int, *, days: int) -> None:
    """So many events, and what is left of so many days."""
    pack = pack_of(name)
    producer = EventsOnly(topic=f"dayone.{pack.product.name}.events")
    simulation = simulation_of(name, users=wanted // EVENTS_PER_USER, producer=producer)
    decoder = Decoder(vocabulary_of(pack))
    events = played = offset = 0
    with Store.open(MEMORY, memory_limit="2GB") as store:
        store.load_pack(pack)
        while events < wanted:
            played += days
            events += simulation.advance(played * DAY_MS)
            for keys, values in producer.sent:
                offsets = range(offset, offset + len(values))
                offset += len(values)
                batch = decoder.decode([Messages(producer.topic, [0] * len(values), offsets, keys, values)])
                assert not batch.dead_letters
                store.commit(batch, "cluster")
            producer.sent.clear()
        counted = store.query("SELECT count(*) AS n, count(DISTINCT session_id) AS sessions FROM events").to_pylist()[0]
        assert counted["n"] == events and counted["sessions"] > events / 30
        assert violations(store.query, pack.product, simulation.identity.run_id) == []
