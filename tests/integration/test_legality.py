"""A million events of every shipped pack, stored through the sink's own decoder and store, and not one illegal.

No broker: the messages go from a producer that keeps them straight to the decoder, a few virtual days at a time.
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

EVENTS = 1_000_000
USERS = 20_000
#: Days played between two transactions: some hundred thousand events, as a sink with much to do takes them.
DAYS = 3


@dataclass
class EventsOnly(MemoryProducer):
    """Keeps the values of one topic as they came, and no record of anything else."""

    topic: str = ""
    sent: list[tuple[Sequence[bytes], Sequence[bytes]]] = field(default_factory=list)

    def send(self, topic: str, values: Bytes, keys: Bytes, partitions: Numbers) -> None:
        if topic == self.topic:
            self.sent.append((python_bytes(keys), python_bytes(values)))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PACKS)
def test_a_million_events_without_a_violation(name: str) -> None:
    pack = pack_of(name)
    producer = EventsOnly(topic=f"dayone.{pack.product.name}.events")
    simulation = simulation_of(name, users=USERS, producer=producer)
    decoder = Decoder(vocabulary_of(pack))
    events = days = offset = 0
    with Store.open(MEMORY, memory_limit="2GB") as store:
        store.load_pack(pack)
        while events < EVENTS:
            days += DAYS
            events += simulation.advance(days * DAY_MS)
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
