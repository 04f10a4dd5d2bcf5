"""The event decoder under damaged messages.

Promised: decoding never raises; every message is a row, a duplicate, a dead letter or foreign; a dead letter has a
reason of the list and is the message unchanged; the good neighbours of a bad message are rows; what a message becomes
does not depend on its neighbours; and every row can be stored and read back through every view of the product, so that
no message, however odd, stops a sink or a query.
"""

from __future__ import annotations

import json
import random
from functools import lru_cache

import pyarrow as pa

from personas.population import DAY_MS
from personas.topics import data_topics
from simulator.producer import MemoryProducer
from sinks.batch import REASONS, Batch, Messages
from sinks.ingest import Decoder
from sinks.store import MEMORY, Store
from sinks.vocabulary import vocabulary_of
from tests.fuzz import mutation
from tests.fuzz.target import Finding
from tests.runs import pack_of, simulation_of

PACK = "shop"
#: Messages judged together, a quarter of them good.
NEIGHBOURS = 64
MAX_BYTES = 100_000


@lru_cache
def real_messages() -> dict[str, list[bytes]]:
    """Messages of a small run, by topic; never more than a few hundred of each."""
    producer = MemoryProducer()
    simulation_of(PACK, users=60, producer=producer).advance(round(3 * DAY_MS))
    found: dict[str, list[bytes]] = {}
    for record in producer.records:
        found.setdefault(record.topic, []).append(record.value)
    found["dayone.runs"] = [_manifest()]
    return {topic: values[:400] for topic, values in found.items() if topic in data_topics(PACK)}


def _manifest() -> bytes:
    from tests.sinks.making import manifest

    return manifest(product=PACK)[1]


def together(batches: list[Batch]) -> Batch:
    """All batches as one: a transaction for each would take most of the time."""
    names = {name for batch in batches for name in batch.tables}
    tables = {name: pa.concat_tables([b.tables[name] for b in batches if name in b.tables]) for name in names}
    offsets = {place: offset for batch in batches for place, offset in batch.next_offsets.items()}
    return Batch(tables, tuple(letter for batch in batches for letter in batch.dead_letters), offsets, 0)


class MessagesTarget:
    """Batches of `NEIGHBOURS` messages of one topic, a part of them damaged."""

    inputs_per_attempt = NEIGHBOURS * 3 // 4

    def __init__(self) -> None:
        self._pack = pack_of(PACK)
        self.decoder = Decoder(vocabulary_of(self._pack), max_bytes=MAX_BYTES)
        self._real = real_messages()
        self.topics = sorted(self._real)
        self._kept: list[Batch] = []
        self._inputs: list[bytes] = []

    def damaged(self, rng: random.Random, topic: str) -> bytes | None:
        """One damaged message of a topic."""
        message = rng.choice(self._real[topic])
        kind = rng.random()
        if kind < 0.5:
            return mutation.damaged_json(rng, message)
        if kind < 0.9:
            return mutation.noisy_bytes(rng, message)
        if kind < 0.95:
            return mutation.spliced(rng, message, rng.choice(self._real[rng.choice(self.topics)]))
        if kind < 0.955:
            return mutation.huge(rng, message)
        return rng.choice((None, b"", rng.randbytes(rng.randrange(200)), rng.choice(mutation.PIECES), message[::-1]))

    def attempt(self, rng: random.Random) -> bytes:
        """See Target."""
        topic = rng.choice(self.topics) if rng.random() < 0.5 else self.topics[0]
        good = [rng.choice(self._real[topic]) for _ in range(NEIGHBOURS // 4)]
        bad = [self.damaged(rng, topic) for _ in range(self.inputs_per_attempt)]
        values: list[bytes | None] = [*good, *bad]
        rng.shuffle(values)
        count = len(values)
        batch = self.decoder.decode([Messages(topic, [0] * count, range(count), [b"k"] * count, values)])
        self._judge(topic, values, {id(value) for value in good}, batch)
        if rng.random() < 0.05:
            self._judge_alone(topic, values, batch)
        self._kept.append(batch)
        self._inputs.append(b"\n".join(value or b"" for value in values))
        return self._inputs[-1]

    def _judge(self, topic: str, values: list[bytes | None], good: set[int], batch: Batch) -> None:
        content = b"\n".join(value or b"" for value in values)
        counted = batch.rows + sum(batch.duplicates.values()) + len(batch.dead_letters) + batch.foreign
        if counted != len(values):
            raise Finding(f"{topic}: {len(values)} messages became {counted} rows, duplicates and letters", content)
        for letter in batch.dead_letters:
            value = values[letter.offset]
            if letter.value is not value or letter.reason not in REASONS or not letter.detail:
                raise Finding(f"{topic}: a letter is not as it should be: {letter.reason} {letter.detail!r}", content)
            if id(value) in good:
                raise Finding(f"{topic}: a good message was refused: {letter.reason} {letter.detail}", content)
            letter.detail.encode()

    def _judge_alone(self, topic: str, values: list[bytes | None], batch: Batch) -> None:
        dead = {letter.offset: letter.reason for letter in batch.dead_letters}
        for place, value in enumerate(values):
            alone = self.decoder.decode([Messages(topic, [0], [0], [b"k"], [value])])
            reason = alone.dead_letters[0].reason if alone.dead_letters else None
            if reason != dead.get(place):
                raise Finding(f"{topic}: {dead.get(place)} among others, {reason} alone", value or b"")

    def settle(self) -> None:
        """Store all that was decoded since the last time, and read it through every view."""
        batches, inputs = self._kept, b"\n".join(self._inputs)
        self._kept, self._inputs = [], []
        with Store.open(MEMORY, memory_limit="512MB") as store:
            store.load_pack(self._pack)
            try:
                store.commit(together(batches), "cluster")
            except Exception as error:
                raise Finding(f"messages were decoded but cannot be stored: {error}", inputs) from error
            views = store.query(
                "SELECT schema_name || '.' || view_name AS name FROM duckdb_views() WHERE NOT internal"
            ).column(0)
            for name in views.to_pylist():
                try:
                    json.dumps(store.query(f"SELECT * FROM {name}").to_pylist(), default=str)
                except Exception as error:
                    raise Finding(f"the view {name} cannot be read any more: {error}", inputs) from error
