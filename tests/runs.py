"""Runs that many tests look at: each is played once per test process and then shared. Nothing is sent anywhere."""

from __future__ import annotations

import atexit
import json
import shutil
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from personas.pack import Pack, load_pack, shipped_packs
from personas.population import DAY_MS
from personas.provenance import NO_LINEAGE, RunIdentity, RunLineage, RunManifest
from personas.topics import RUNS
from simulator.engine import Played
from simulator.partitioner import Shard
from simulator.producer import MemoryProducer, Record
from simulator.simulation import Simulation
from sinks.batch import Messages
from sinks.ingest import Decoder
from sinks.store import MEMORY, Store
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import RUN, message

PACKS = shipped_packs()
#: For what takes long: `make test` tries it on the shop, `make thorough` on all others.
LONG = [name if name == "shop" else pytest.param(name, marks=pytest.mark.thorough) for name in PACKS]
START = datetime(2026, 1, 1, tzinfo=UTC)
SEED = 7
PARTITIONS = 4


@lru_cache
def pack_of(name: str) -> Pack:
    return load_pack(name)


def identity_of(name: str, *, users: int, seed: int = SEED, problem_rate: float = 1.0) -> RunIdentity:
    pack = pack_of(name)
    return RunIdentity(
        product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint,
        seed=seed, users=users, start=START, problem_rate=problem_rate,
    )  # fmt: skip


def simulation_of(
    name: str, *, users: int, seed: int = SEED, problem_rate: float = 1.0, shard: str = "0/1",
    producer: MemoryProducer | None = None,
) -> Simulation:  # fmt: skip
    identity = identity_of(name, users=users, seed=seed, problem_rate=problem_rate)
    return Simulation(pack_of(name), identity, Shard.parse(shard, PARTITIONS), producer or MemoryProducer())


@dataclass(frozen=True)
class Course:
    """A simulation and everything that its engine played up to some day."""

    simulation: Simulation
    played: Played
    days: float


@lru_cache
def course(name: str, *, users: int, days: float, problem_rate: float = 1.0) -> Course:
    """The arrays of a run, straight from the engine."""
    simulation = simulation_of(name, users=users, problem_rate=problem_rate)
    return Course(simulation, simulation.engine.play(round(days * DAY_MS)), days)


def store_records(
    store: Store, pack: Pack, records: list[Record], *, first_offset: int = 0, chunk: int = 50_000
) -> None:
    """Put what a producer sent into a database, through the sink's own decoder and store."""
    decoder = Decoder(vocabulary_of(pack))
    by_topic: dict[str, list[Record]] = {}
    for record in records:
        by_topic.setdefault(record.topic, []).append(record)
    store.load_pack(pack)
    for topic, sent in by_topic.items():
        for first in range(0, len(sent), chunk):
            some = sent[first : first + chunk]
            places = range(first_offset + first, first_offset + first + len(some))
            messages = Messages(topic, [0] * len(some), places, [r.key for r in some], [r.value for r in some])
            store.commit(decoder.decode([messages]), "cluster")


@lru_cache
def stored(name: str, *, users: int, days: float, problem_rate: float = 1.0) -> tuple[Store, str]:
    """A run in a database in memory, and its id. Read only: it is shared."""
    producer = MemoryProducer()
    simulation = simulation_of(name, users=users, problem_rate=problem_rate, producer=producer)
    simulation.advance(round(days * DAY_MS))
    store = Store.open(MEMORY)
    store_records(store, pack_of(name), producer.records)
    return store, simulation.identity.run_id


def tell_of_run(
    store: Store, identity: RunIdentity, *, state: str = "completed", days: float = 1.0, number: int = 0,
    lineage: RunLineage = NO_LINEAGE,
) -> None:
    """Let a database know the manifest of a run, as a simulator would send it."""
    manifest = RunManifest(
        run_id=identity.run_id, identity=identity, state=state, days=days, dayone_version="0.1.0",  # type: ignore[arg-type]
        updated=START + timedelta(days=1000, seconds=number), virtual_time=START + timedelta(days=days),
        counts={"events": 1}, lineage=lineage,
    )  # fmt: skip
    value = message(RUN, manifest.key, manifest.key, json.loads(manifest.model_dump_json()), run=manifest.run_id,
                    source=f"/dayone/{identity.product}")  # fmt: skip
    messages = Messages(RUNS, [0], [number], [manifest.key.encode()], [value])
    decoder = Decoder(vocabulary_of(pack_of(identity.product)))
    store.commit(decoder.decode([messages]), "cluster")


@lru_cache
def records_of(name: str, *, users: int, days: float, problem_rate: float = 1.0) -> tuple[Record, ...]:
    """Everything that a run sends."""
    producer = MemoryProducer()
    simulation_of(name, users=users, problem_rate=problem_rate, producer=producer).advance(round(days * DAY_MS))
    return tuple(producer.records)


@lru_cache
def _filled_file(name: str, users: int, days: float, problem_rate: float) -> Path:
    path = _folder() / f"{uuid.uuid4().hex}.duckdb"
    with Store.open(path) as store:
        records = records_of(name, users=users, days=days, problem_rate=problem_rate)
        store_records(store, pack_of(name), list(records))
    return path


@lru_cache
def _folder() -> Path:
    folder = TemporaryDirectory(prefix="dayone-runs-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def filled_store(name: str, *, users: int, days: float, problem_rate: float = 1.0) -> Store:
    """A database of one's own with a run in it, to be changed at will: a copy of one that is filled once."""
    copy = _folder() / f"{uuid.uuid4().hex}.duckdb"
    shutil.copy(_filled_file(name, users, days, problem_rate), copy)
    store = Store.open(copy)
    copy.unlink()  # it lives as long as somebody has it open
    return store
