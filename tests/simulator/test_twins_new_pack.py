"""A pack made of a core says what its users did, in names that give nobody away, and can be played at once."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personas.pack import Pack, load_pack
from personas.population import DAY_MS
from personas.provenance import RunIdentity
from personas.randomness import fold, root_key, uniform
from simulator.memory_producer import MemoryProducer
from simulator.partitioner import Shard
from simulator.simulation import Simulation
from simulator.twins.commands import Wish, fit_core
from simulator.twins.log import log_of
from simulator.twins.new_pack import making
from simulator.twins.new_pack.making import Made, make_pack
from simulator.twins.new_pack.product import never_first, rules_of
from simulator.twins.player import Told
from simulator.twins.playing import Twins
from sinks.legality import violations
from sinks.store import MEMORY, Store
from tests.runs import START, store_records


@lru_cache
def core() -> pa.Table:
    """Two kinds of users: three in four look around for two or three steps by day, one in four stays for nine, at
    night, puts things into the bag and buys. Nobody buys who put nothing in. Somebody looks at a thing of his own."""
    rows = []
    for user in range(240):
        draw = iter(uniform(fold(root_key("core", user), np.arange(400))).tolist())
        buyer = user % 4 == 0
        for visit in range(4 if buyer else 1 + user % 2):
            at = START + timedelta(days=int(next(draw) * 20) + visit * 2, hours=(1 if buyer else 13) + next(draw) * 3)
            steps = ["Shop opened"]
            for _ in range(8 if buyer else 1 + int(next(draw) * 2)):
                chance = next(draw)
                bagged = "put-in-bag" in steps
                steps.append("look" if chance < 0.5 else "put-in-bag" if buyer else "search")
                if bagged and chance > 0.85:
                    steps.append("BUY!")
            for place, step in enumerate(steps):
                item = f"thing {int(next(draw) ** 2 * 8)}" if step in ("look", "put-in-bag") else None
                if user == 5 and item:
                    item = "diary of user 5"
                price = None if item is None else 5.0 * (1 + len(item) % 3)
                group = None if item is None else ("Socks" if ord(item[-1]) % 2 else "Hats & caps")
                rows.append({"user_id": f"mail{user}@example.org", "session_id": f"{user}/{visit}",
                             "ts": at + timedelta(seconds=30 * place), "event": step, "item_id": item, "price": price,
                             "category": group})  # fmt: skip
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_pack(core(), tmp_path_factory.mktemp("made") / "Our shop", 5, "BUY!")


def test_it_is_valid_and_says_what_can_be_done(made: Made) -> None:
    pack = load_pack(made.pack.folder)
    assert pack.fingerprint == made.named.fingerprint
    assert set(pack.product.events) == {"shop_opened", "look", "search", "put_in_bag", "buy"}
    assert made.named.events == {"Shop opened": "shop_opened", "put-in-bag": "put_in_bag", "BUY!": "buy"}
    assert pack.product.conversion == "buy" and pack.product.events["look"].item == "catalog"
    assert pack.product.events["shop_opened"].item is None
    assert set(pack.catalog.categories) == {"socks", "hats_caps"} and {item.price for item in pack.catalog.items} <= {
        5,
        10,
        15,
    }
    assert {item.id for item in pack.catalog.items} == {f"thing-{n}" for n in range(8)}
    quality = {item.id: item.quality for item in pack.catalog.items}
    assert max(quality, key=lambda item: quality[item]) == "thing-0"


def test_nobody_is_in_it(made: Made) -> None:
    text = "".join(file.read_text() for file in made.pack.folder.rglob("*") if file.is_file())
    assert "example.org" not in text and "diary" not in text and "user 5" not in text


@pytest.mark.parametrize("column", ["title", "category", "price"])
def test_what_one_user_alone_has_of_an_item_reaches_no_file(tmp_path: Path, column: str) -> None:
    """Of the item `quiet` only user 3 says anything; of `loud`, user 3 says it far more often than all others."""
    personal, usual = (4711.25, 5.0) if column == "price" else ("for Mara Lindqvist", "Lamps")
    rows = []
    for user in range(30):
        said = [(f"plain{number}", usual) for number in range(30)]
        said += [("quiet", personal), *[("loud", personal)] * 400] if user == 3 else [("quiet", None), ("loud", usual)]
        rows += [{"user_id": f"u{user}", "session_id": f"s{user}", "ts": START + timedelta(seconds=step),
                  "event": "look", "item_id": item, column: value}
                 for step, (item, value) in enumerate(said)]  # fmt: skip
    pack = make_pack(pa.Table.from_pylist(rows), tmp_path / "ours", 5).pack
    text = "".join(file.read_text().lower() for file in pack.folder.rglob("*") if file.is_file())
    assert "4711" not in text and "mara" not in text
    assert (pack.folder / "catalog.csv").read_text().lower().count(str(usual).lower()) == 30, "what many say stays"


def test_the_kinds_of_users_are_found(made: Made) -> None:
    shares = sorted(persona.share for persona in made.pack.personas)
    assert shares == pytest.approx([0.25, 0.75], abs=0.02)
    few, many = (next(p for p in made.pack.personas if p.share == pytest.approx(s, abs=0.02)) for s in (0.25, 0.75))
    night, day = (np.array(p.activity.hours()).reshape(7, 24).sum(axis=0) for p in (few, many))
    assert night[:5].sum() > 0.9 * night.sum() and day[12:18].sum() > 0.9 * day.sum()
    assert few.name.startswith("persona_") and "." in few.story and few.churn < many.churn


def test_what_never_happens_before_what_is_found_and_nothing_else(made: Made) -> None:
    needs = {(rule["event"], rule["needs"]) for rule in made.told["preconditions"]}
    assert needs == {("buy", "put_in_bag")}
    assert made.pack.product.events["buy"].requires == {"had_put_in_bag": (1, 1_000_000)}
    assert set(made.told["never_first"]) == {"buy", "look", "put_in_bag", "search"}


def test_one_session_that_does_it_is_enough_to_declare_nothing() -> None:
    table = core()
    row = table.slice(0, 1).to_pylist()[0]
    odd = [{**row, "session_id": "odd", "event": event, "item_id": None} for event in ("Shop opened", "BUY!")]
    log = log_of(pa.concat_tables([table, pa.Table.from_pylist(odd, schema=table.schema)]))
    names = log.words["event"]
    assert "BUY!" not in {names[rule.event] for rule in rules_of(log, 5)}
    assert "look" not in {names[event] for event in never_first(log_of(pa.concat_tables([
        table, pa.Table.from_pylist([{**odd[0], "event": "look"}], schema=table.schema)])), 5)}  # fmt: skip


def test_few_sessions_show_no_rule() -> None:
    assert rules_of(log_of(core().slice(0, 150)), 5) == [] and never_first(log_of(core().slice(0, 60)), 5) == []


def test_the_prior_of_such_a_pack_plays_what_was_seen(made: Made) -> None:
    pack, producer = made.pack, MemoryProducer()
    identity = RunIdentity(
        product=pack.product.name, product_version=1, pack_fingerprint=pack.fingerprint, seed=1, users=400, start=START,
    )  # fmt: skip
    simulation = Simulation(pack, identity, Shard.parse("0/1", 1), producer)
    simulation.advance(25 * DAY_MS)
    store = Store.open(MEMORY)
    store_records(store, pack, producer.records)
    assert violations(store.query, pack.product, identity.run_id) == []
    length = store.query("SELECT avg(events) AS n FROM sessions").column(0)[0].as_py()
    assert length == pytest.approx(core().num_rows / len(core()["session_id"].unique()), rel=0.35)
    starts = store.query("SELECT DISTINCT type FROM events WHERE sequence = 0").column(0).to_pylist()
    assert starts == ["shop_opened"]


def played(pack: Pack, model: Path) -> Told:
    """What became of the events of 100 twins in 30 days of a pack's world, which breaks no rule of the pack."""
    twins, producer = Twins.load(model, pack), MemoryProducer()
    identity = RunIdentity(
        product=pack.product.name, product_version=1, pack_fingerprint=pack.fingerprint, seed=1, users=100, start=START,
        problem_rate=0.0, generator="twin", twin=twins.model.fingerprint,
    )  # fmt: skip
    simulation = Simulation(pack, identity, Shard.parse("0/1", 1), producer, twins=twins)
    simulation.advance(30 * DAY_MS)
    store = Store.open(MEMORY)
    store_records(store, pack, producer.records)
    assert violations(store.query, pack.product, identity.run_id) == []
    assert simulation.twins is not None
    return simulation.twins.told


def test_its_twins_are_played_in_it(tmp_path: Path) -> None:
    pq.write_table(core(), tmp_path / "core.parquet")
    lineage = fit_core(Wish(str(tmp_path / "core.parquet"), new_pack=tmp_path / "ours"), tmp_path / "model", None)
    assert lineage.new_pack is not None and len(lineage.new_pack["personas"]) == 2
    told = played(load_pack(tmp_path / "ours"), tmp_path / "model")
    assert told.kept > 500
    assert told.bridged + told.left_out + told.redirected < 0.03 * told.kept, "it is the product that they came from"


def test_events_that_are_too_many_for_a_pack_are_left_out_by_its_twins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MOST_EVENTS", 3)
    pq.write_table(core(), tmp_path / "core.parquet")
    lineage = fit_core(Wish(str(tmp_path / "core.parquet"), new_pack=tmp_path / "few"), tmp_path / "twin", None)
    pack = load_pack(tmp_path / "few")
    assert len(pack.product.events) == 3 and lineage.new_pack and lineage.new_pack["events_left_out"] == 2
    told = played(pack, tmp_path / "twin")
    assert told.kept > 300 and told.left_out > 100
