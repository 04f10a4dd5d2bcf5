"""A run of twins: what people did is played by fictional users, legally, and alike in every sharding."""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personas.errors import SettingsError, TwinError
from personas.pack import Pack, load_pack
from personas.population import DAY_MS
from personas.provenance import RunIdentity
from simulator.clock import WallClock
from simulator.memory_producer import MemoryProducer, Record
from simulator.options import RunOptions
from simulator.order import run_of
from simulator.partitioner import Shard
from simulator.resume import UserNumbers, position_of
from simulator.run import Plan, Run
from simulator.settings import load_settings
from simulator.simulation import Simulation
from simulator.steering import SetArrivalRate, Steering
from simulator.twins.artefact import LINEAGE, load
from simulator.twins.commands import Wish, fit_core
from simulator.twins.playing import Twins
from simulator.twins.scripts import words_of
from sinks.legality import violations
from sinks.store import MEMORY, Store
from tests.runs import LONG, START, course, simulation_of, store_records

USERS, DAYS = 150, 20


@lru_cache
def core_of(pack_name: str) -> pa.Table:
    """What 90 simulated users did, as if they had been real."""
    ran = course(pack_name, users=90, days=6.0)
    events, pack = ran.played.events, ran.simulation.pack
    names = np.array(list(pack.product.events), dtype=object)
    items = np.array([item.id for item in pack.catalog.items] + [None], dtype=object)
    order = np.lexsort((events["sequence"], events["session"], events["user"]))
    time = [START + timedelta(milliseconds=ms) for ms in events["time"][order].tolist()]
    sessions = [
        f"{u}-{s}" for u, s in zip(events["user"][order].tolist(), events["session"][order].tolist(), strict=True)
    ]
    return pa.table({
        "user_id": [f"p{user}" for user in events["user"][order].tolist()], "session_id": sessions,
        "ts": pa.array(time, pa.timestamp("us", "UTC")), "step": events["sequence"][order],
        "event": names[events["event"][order]].tolist(), "item_id": items[events["item"][order]].tolist(),
    })  # fmt: skip


@pytest.fixture(scope="module", params=LONG)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(request.param, tmp_path_factory.mktemp(request.param), core_of(request.param))


@pytest.fixture(scope="module")
def twins(folder: Path) -> Twins:
    return Twins.load(folder, load_pack(folder.parent.name.rstrip("0123456789")))


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Of a core of product views, additions and orders alone, all of it on one Tuesday at nine."""
    tuesday, rows = START + timedelta(days=(1 - START.weekday()) % 7, hours=9), []
    for user in range(60):
        for step, event in enumerate(
            ["product_viewed", "product_viewed", "product_added", "order_completed"][: 2 + user % 3]
        ):
            item = f"p000{1 + (user + step // 2) % 5}" if event != "order_completed" else None
            rows.append(
                {"user_id": str(user), "ts": tuesday + timedelta(seconds=step * 40), "event": event, "item_id": item}
            )
    table = pa.Table.from_pylist(rows)
    return Twins.load(fitted("shop", tmp_path_factory.mktemp("sparse"), table), load_pack("shop"))


def fitted(pack_name: str, folder: Path, table: pa.Table) -> Path:
    pq.write_table(table, folder / "core.parquet")
    fit_core(Wish(str(folder / "core.parquet"), pack=pack_name), folder / "model", load_pack(pack_name))
    return folder / "model"


def identity_of(pack: Pack, model: Twins) -> RunIdentity:
    return RunIdentity(
        product=pack.product.name, product_version=pack.product.version, pack_fingerprint=pack.fingerprint, seed=3,
        users=USERS, start=START, problem_rate=0.0, generator="twin", twin=model.model.fingerprint,
    )  # fmt: skip


def played(model: Twins, shard: str = "0/1", windows: int = 1) -> tuple[list[Record], Simulation]:
    assert model.lineage.pack is not None
    pack, producer = load_pack(model.lineage.pack.name), MemoryProducer()
    simulation = Simulation(pack, identity_of(pack, model), Shard.parse(shard, 4), producer, twins=model)
    for window in range(1, windows + 1):
        simulation.advance(DAYS * DAY_MS * window // windows)
    return producer.records, simulation


@pytest.fixture(scope="module")
def whole(twins: Twins) -> tuple[list[Record], Simulation]:
    """All that a run sends, for whoever only looks at it."""
    return played(twins)


def by_partition(records: list[Record]) -> dict[tuple[str, int], list[bytes]]:
    found: dict[tuple[str, int], list[bytes]] = {}
    for record in records:
        found.setdefault((record.topic, record.partition), []).append(bytes(record.value))
    return found


def test_a_run_is_the_same_in_any_shards_and_windows(twins: Twins, whole: tuple[list[Record], Simulation]) -> None:
    parts = [by_partition(played(twins, shard=f"{n}/2", windows=1 + 16 * n)[0]) for n in range(2)]
    assert {**parts[0], **parts[1]} == by_partition(whole[0]) and not set(parts[0]) & set(parts[1])


def test_it_goes_on_where_the_topics_end(twins: Twins, whole: tuple[list[Record], Simulation]) -> None:
    records, first = whole
    cut = len(records) // 2
    half = by_partition(records[:cut])
    held: dict[str, dict[int, tuple[int, int, int]]] = {}
    numbers = UserNumbers(first.population)
    for (topic, partition), values in half.items():
        held.setdefault(topic, {})[partition] = position_of(json.loads(values[-1]), START, numbers)
    producer = MemoryProducer()
    again = Simulation(first.pack, first.identity, first.shard, producer, twins=twins)
    again.resume(held)
    again.advance(DAYS * DAY_MS)
    rest = by_partition(producer.records)
    together = {place: half.get(place, []) + rest.get(place, []) for place in {*half, *rest}}
    assert together == by_partition(records)


def test_every_session_is_legal_in_the_database_too(whole: tuple[list[Record], Simulation]) -> None:
    records, simulation = whole
    store = Store.open(MEMORY)
    store_records(store, simulation.pack, records)
    assert store.query("SELECT count(*) AS n FROM dead_letters").column(0)[0].as_py() == 0
    assert store.query("SELECT count(*) AS n FROM labels").column(0)[0].as_py() == 0, "nobody knows the truth"
    assert store.query("SELECT DISTINCT generator FROM events").column(0).to_pylist() == ["twin"]
    assert violations(store.query, simulation.pack.product, simulation.identity.run_id) == []


def test_little_is_put_in_or_left_out_where_the_core_was_legal(whole: tuple[list[Record], Simulation]) -> None:
    """The core is small: what five users did not do is unknown to the model, and now and then a step is missing."""
    engine = whole[1].twins
    assert engine is not None and engine.told.kept > 1500
    assert engine.told.left_out < 0.06 * engine.told.kept
    assert engine.told.redirected < 0.02 * engine.told.kept, "twins take the items that their model drew"


def test_what_people_never_logged_is_bridged(sparse: Twins) -> None:
    """The shop shows a list before a product of it, and has a checkout."""
    records, simulation = played(sparse)
    store = Store.open(MEMORY)
    store_records(store, simulation.pack, records)
    assert violations(store.query, simulation.pack.product, simulation.identity.run_id) == []
    engine = simulation.twins
    assert engine is not None and engine.told.bridged > 0 and engine.told.redirected == 0
    events = Counter(store.query("SELECT type FROM events").column(0).to_pylist())
    drawn = engine.scripts.write(np.flatnonzero(engine.scripts.start < DAYS * DAY_MS)).event
    scripted = Counter(np.array(list(simulation.pack.product.events))[drawn].tolist())
    assert scripted["order_completed"] and events["order_completed"] == scripted["order_completed"], "none is invented"
    assert engine.told.left_out < 0.01 * engine.told.kept


def test_they_keep_the_calendar_of_the_core(sparse: Twins) -> None:
    """All of the core happens on a Tuesday at nine; the run begins on a Thursday."""
    engine = played(sparse)[1].twins
    assert engine is not None
    begun = [START + timedelta(milliseconds=ms) for ms in engine.scripts.start.tolist()]
    assert {(at.weekday(), at.hour) for at in begun} == {(1, 9)} and min(begun) >= START


def test_users_sign_up_with_their_first_session(whole: tuple[list[Record], Simulation]) -> None:
    records, _ = whole
    first: dict[str, str] = {}
    for record in records:
        value = json.loads(record.value)
        if value["type"] not in ("dayone.user", "dayone.session"):
            first[value["subject"]] = min(first.get(value["subject"], "9"), value["time"])
    signed = {
        v["subject"]: v["time"] for v in map(json.loads, (r.value for r in records)) if v["type"] == "dayone.user"
    }
    assert set(first) <= set(signed) and all(signed[user] == first[user] for user in first)


def test_a_manifest_tells_what_became_of_the_events(twins: Twins) -> None:

    _, simulation = played(twins)
    run = Run(
        simulation, simulation.producer, Plan(days=DAYS), clock=WallClock(), steering=Steering("x", fixed=True),
        stop=threading.Event(),
    )  # fmt: skip
    manifest = run.manifest()
    assert manifest.identity.twin == twins.model.fingerprint
    assert {f"twins.{name}" for name in ("bridged", "left_out", "redirected", "refused", "cut")} <= set(manifest.counts)
    reply = run.steering.apply(SetArrivalRate(value=2.0))  # type: ignore[attr-defined]
    assert not reply.accepted and "model" in reply.reason


def test_a_model_is_part_of_the_run_s_name_and_older_names_stay(twins: Twins) -> None:
    assert twins.lineage.pack is not None
    pack = load_pack(twins.lineage.pack.name)
    one = identity_of(pack, twins)
    assert one.run_id != one.model_copy(update={"twin": "0" * 64}).run_id
    plain = simulation_of(pack.product.name, users=5).identity
    assert plain.twin is None and "twin" not in plain.model_dump(mode="json")


def test_a_model_that_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    name = folder.parent.name.rstrip("0123456789")
    other = "desk" if name == "shop" else "shop"
    with pytest.raises(TwinError, match=f"fitted for the pack {name}, and this is {other}"):
        Twins.load(folder, load_pack(other))
    told = json.loads((folder / LINEAGE).read_text())
    packless = shutil.copytree(folder, tmp_path / "model")
    (packless / LINEAGE).write_text(json.dumps({**told, "pack": None}))
    with pytest.raises(TwinError, match="without a pack"):
        Twins.load(packless, load_pack(name))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"generator": "twin"}, "needs --model"), ({"model": folder}, "goes with --generator twin"),
        ({"generator": "twin", "model": folder, "problems": "x10"}, "none are planted"),
    ]  # fmt: skip
    for options, said in wrong:
        with pytest.raises(SettingsError, match=said):
            run_of(name, RunOptions(**options), load_settings())
    assert run_of(name, RunOptions(generator="twin", model=folder), load_settings())[1].generation == 1


def test_an_event_that_the_pack_no_longer_has_is_told(folder: Path, tmp_path: Path) -> None:
    name = folder.parent.name.rstrip("0123456789")
    model, lineage = load(folder)
    assert lineage.pack is not None
    gone = model.words["event"][0]
    renamed = lineage.pack.model_copy(update={"events": {gone: "gone_by_now"}})
    with pytest.raises(TwinError, match="'gone_by_now', which"):
        words_of(model, renamed, load_pack(name))
