"""`item: catalog`: events about any item, for products that do not log what they showed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from personas.pack import Pack
from personas.population import DAY_MS
from personas.provenance import RunIdentity
from simulator.engine import Played
from simulator.memory_producer import MemoryProducer
from simulator.partitioner import Shard
from simulator.simulation import Simulation
from sinks.legality import violations
from sinks.store import MEMORY, Store
from tests.personas.small_pack import CATALOG_FILE, PRODUCT_FILE, SmallPack
from tests.runs import START, store_records


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    small = SmallPack(tmp_path / "small")
    small.change(
        PRODUCT_FILE,
        "    on: [list]\n    to: detail\n    item: slate\n",
        "    on: [entry, list]\n    to: detail\n    item: catalog\n",
    )
    small.change(PRODUCT_FILE, "      position: {type: integer, source: position}\n", "")
    small.change(CATALOG_FILE, "b1,A blue thing", "a3,A third red thing,red,2,0.1,0,Rarely wanted.\nb1,A blue thing")
    return small.load()


def played(pack: Pack, users: int = 800, days: int = 20) -> tuple[Played, MemoryProducer, Simulation]:
    identity = RunIdentity(
        product="small", product_version=1, pack_fingerprint=pack.fingerprint, seed=3, users=users, start=START,
    )  # fmt: skip
    producer = MemoryProducer()
    simulation = Simulation(pack, identity, Shard.parse("0/1", 1), producer)
    return simulation.engine.play(days * DAY_MS), producer, simulation


def test_items_follow_taste_and_appeal_and_come_when_they_are_launched(pack: Pack) -> None:
    events = played(pack)[0].events
    opened = events["item"] >= 0
    assert opened.sum() > 2000
    items, day = events["item"][opened], events["time"][opened] // DAY_MS
    ids = [item.id for item in pack.catalog.items]
    counts = dict(zip(ids, np.bincount(items, minlength=4).tolist(), strict=True))
    assert (day[items == ids.index("a2")] >= 3).all()
    assert counts["a1"] + counts["a2"] + counts["a3"] > 5 * counts["b1"] > 0, "red is what they like"
    late = items[day >= 3]
    quality = {item.id: item.quality for item in pack.catalog.items}
    wanted = np.exp(pack.product.choice.quality * (quality["a2"] - quality["a3"]))
    ratio = (late == ids.index("a2")).sum() / (late == ids.index("a3")).sum()
    assert ratio == pytest.approx(wanted, rel=0.25)


def test_such_sessions_are_legal_and_their_items_are_in_focus(pack: Pack) -> None:
    _, producer, simulation = played(pack, users=50, days=0)
    simulation.advance(10 * DAY_MS)
    store = Store.open(MEMORY)
    store_records(store, pack, producer.records)
    assert store.query("SELECT count(*) AS n FROM events WHERE type = 'item_opened'").column(0)[0].as_py() > 50
    assert violations(store.query, pack.product, simulation.identity.run_id) == []
