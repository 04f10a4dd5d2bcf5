"""Real rows beside synthetic ones: reading, mapping, pseudonyms, mixing, and what is refused."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from personas.core.mapping import CoreMap, load_map
from personas.errors import TrainingError
from sinks.place import place_of
from sinks.store import Store
from sinks.training.build import Order, build
from sinks.training.core.taking import Core
from sinks.training.core.wishes import Wishes, granted, key_beside
from sinks.training.loading import load_sets
from sinks.training.mixing import Mixing, mixing_of
from sinks.training.papers.reading import published
from sinks.training.papers.repeating import repeat_faults
from sinks.training.registry import all_tasks
from sinks.training.selection import choose
from sinks.training.split import Split
from tests.runs import filled_store

KEY = bytes(range(32))
WALK = ("home_viewed", "product_list_viewed", "product_viewed", "product_added")


@pytest.fixture
def store() -> Store:
    return filled_store("shop", users=200, days=8)


def real_rows(users: int = 40, sessions: int = 3) -> pa.Table:
    """Walks of people whose addresses must not be seen again."""
    rows = [
        {
            "user_id": f"ann{user}@example.org", "session_id": f"{user}-{visit}",
            "item_id": "p0001" if step > 1 else None,
            "ts": f"2025-03-{1 + (user + visit) % 28:02} 1{visit}:0{step}:00", "event": name,
            "device": "tablet", "value": 9.5, "shoe_size": 43,
        }
        for user in range(users) for visit in range(sessions) for step, name in enumerate(WALK)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    pq.write_table(real_rows(), tmp_path / "real.parquet")
    return tmp_path / "real.parquet"


def sets(store: Store, core: Core, mixing: Mixing | None = None, **split: object) -> list[pa.Table]:
    task = all_tasks()["next_event"]
    wish = Split(**{"judge": "core", **split})  # type: ignore[arg-type]
    return load_sets(store, task, task.options(), None, (), wish, core, mixing)


def test_real_rows_stand_in_the_same_relations(store: Store, real: Path) -> None:
    together = pa.concat_tables(sets(store, Core(str(real), KEY)))
    core = together.filter(pc.equal(together.column("origin"), "core"))
    assert core.num_rows == 40 * 3 * len(WALK)
    assert set(core.column("run_id").to_pylist()) == {"core"}
    assert set(core.column("generator").to_pylist()) == {"people"}
    assert set(core.column("generation").to_pylist()) == {0}
    assert set(core.column("device").to_pylist()) == {"tablet"}
    assert set(core.column("session_number").to_pylist()) == {0, 1, 2}
    first = core.filter(pc.equal(core.column("position"), 1))
    assert set(first.column("next_type").to_pylist()) == {WALK[1]}
    assert set(first.column("next_gap_seconds").to_pylist()) == {60.0}
    assert {row["origin"] for row in together.to_pylist()} == {"core", "synthetic"}


def test_no_identifier_of_a_real_user_is_in_a_set(store: Store, real: Path) -> None:
    rows = pa.concat_tables(sets(store, Core(str(real), KEY))).to_pylist()
    text = json.dumps(rows, default=str)
    assert "@example.org" not in text
    assert KEY.hex() not in text
    digest = hmac.new(KEY, b"ann0@example.org", hashlib.sha256).hexdigest()[:20]
    assert f"core-{digest}" in {row["user_id"] for row in rows}
    others = pa.concat_tables(sets(filled_store("shop", users=200, days=8), Core(str(real), KEY[::-1])))
    assert not {u for u in others.column("user_id").to_pylist() if u.startswith("core")} & {r["user_id"] for r in rows}


def test_columns_that_the_product_does_not_know_are_not_read(store: Store, real: Path) -> None:
    choose(store, product=None, runs=(), split=Split(), core=Core(str(real), KEY))
    properties = json.loads(store.query("SELECT properties FROM core_events LIMIT 1").column(0)[0].as_py())
    assert properties == {"value": 9.5}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "directory", "duckdb"])
def test_a_core_has_many_forms(store: Store, tmp_path: Path, kind: str) -> None:
    table, path = real_rows(4), tmp_path / f"core.{kind}"
    if kind == "csv":
        pyarrow.csv.write_csv(table, path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    elif kind == "directory":
        path.mkdir()
        pq.write_table(table.slice(0, 20), path / "a.parquet")
        pq.write_table(table.slice(20), path / "b.parquet")
    else:
        with duckdb.connect(str(path)) as connection:
            connection.execute('CREATE TABLE visits AS FROM "table"')
            connection.execute("CREATE TABLE other (x INTEGER)")
        with pytest.raises(TrainingError, match=r"2 tables; its tables: other, visits"):
            choose(store, product=None, runs=(), split=Split(), core=Core(str(path), KEY))
    given = f"{path}::visits" if kind == "duckdb" else str(path)
    snapshot = choose(store, product=None, runs=(), split=Split(), core=Core(given, KEY))
    told = snapshot.mixing["core"]
    assert (told["users"], told["sessions"], told["events"]) == (4, 12, 48)
    assert told["first"].startswith("2025-03-01T10:00:00")
    assert len(told["files"]) == (2 if kind == "directory" else 1)


def test_the_same_rows_are_the_same_core_whatever_the_file(store: Store, tmp_path: Path) -> None:
    marks = set()
    for name in ("one.parquet", "two.parquet"):
        pq.write_table(real_rows(6), tmp_path / name)
        mixed = choose(store, product=None, runs=(), split=Split(), core=Core(str(tmp_path / name), KEY)).mixed
        marks.add(json.dumps(mixed))
    assert len(marks) == 1


MAP = """
columns: {user_id: who, time: at, event: what, item_id: sku, order: n}
time: {format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
events: {seen: product_viewed, put in bag: product_added, heartbeat: null}
items: {ids: {A1: p0001}}
properties: {value: paid}
"""


def test_a_map_names_columns_events_times_and_items(store: Store, tmp_path: Path) -> None:
    (tmp_path / "core.yaml").write_text(MAP)
    rows = [
        {"who": 7, "at": "01.07.2025 12:00", "what": "put in bag", "sku": "A1", "n": 3, "paid": 2.5},
        {"who": 7, "at": "01.07.2025 12:00", "what": "seen", "sku": "A1", "n": 2, "paid": None},
        {"who": 7, "at": "01.07.2025 12:10", "what": "heartbeat", "sku": None, "n": 4, "paid": None},
        {"who": 7, "at": "01.07.2025 12:31", "what": "seen", "sku": "A1", "n": 5, "paid": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "core.parquet")
    core = Core(str(tmp_path / "core.parquet"), KEY, load_map(tmp_path / "core.yaml"))
    choose(store, product=None, runs=(), split=Split(), core=core)
    found = store.query(
        "SELECT sequence, type, item_id, strftime(time, '%H:%M') AS at, properties ->> '$.value' AS v, "
        "dense_rank() OVER (ORDER BY session_id) AS s FROM core_events ORDER BY time, sequence"
    ).to_pylist()
    assert [(r["sequence"], r["type"], r["at"], r["v"]) for r in found] == [
        (0, "product_viewed", "10:00", None), (1, "product_added", "10:00", "2.5"), (0, "product_viewed", "10:31", None)
    ]  # fmt: skip
    assert found[0]["s"] == found[1]["s"] != found[2]["s"], "a pause of 31 minutes ends a session"
    assert {row["item_id"] for row in found} == {"p0001"}
    wider = Core(core.source, KEY, core.map.model_copy(update={"session_gap_minutes": 31.0}))
    choose(store, product=None, runs=(), split=Split(), core=wider)
    assert store.query("SELECT DISTINCT session_id FROM core_events").num_rows == 1


@pytest.mark.parametrize(
    ("values", "time"),
    [
        ([1_751_364_000], {}), ([1_751_364_000_000], {}), (["2025-07-01T12:00:00+02:00"], {"zone": "Asia/Tokyo"}),
        (["2025-07-01 10:00:00"], {}), (["2025-07-01 12:00:00"], {"zone": "Europe/Berlin"}),
        (["1751364000"], {"format": "epoch_s"}),
    ],
)  # fmt: skip
def test_times_come_in_many_forms(store: Store, tmp_path: Path, values: list[object], time: dict[str, str]) -> None:
    path = tmp_path / "core.parquet"
    pq.write_table(pa.table({"user_id": ["a"], "ts": values, "event": ["home_viewed"]}), path)
    core = Core(str(path), KEY, CoreMap.model_validate({"time": time}))
    assert choose(store, product=None, runs=(), split=Split(), core=core).mixing["core"]["first"] == (
        "2025-07-01T10:00:00Z"
    )


def refused(store: Store, tmp_path: Path, table: pa.Table, **mapping: object) -> str:
    pq.write_table(table, tmp_path / "bad.parquet")
    with pytest.raises(TrainingError) as caught:
        core = Core(str(tmp_path / "bad.parquet"), KEY, CoreMap.model_validate(mapping))
        choose(store, product=None, runs=(), split=Split(), core=core)
    return str(caught.value)


def test_a_core_that_speaks_otherwise_gets_a_map_to_paste(store: Store, tmp_path: Path) -> None:
    other = real_rows(3).rename_columns(["customer_id", "session_id", "item_id", "timestamp", "action", *"dvs"])
    said = refused(store, tmp_path, other)
    assert "no column for user_id (looked for user_id)" in said
    assert "    columns:\n      user_id: customer_id\n      time: timestamp\n      event: action" in said
    rows = real_rows(3)
    views = pc.replace_substring(rows.column("event"), "product_viewed", "view_product")
    said = refused(store, tmp_path, rows.set_column(rows.schema.get_field_index("event"), "event", views))
    assert "1 events that shop does not have: view_product (9)" in said
    assert "    events:\n      view_product: product_viewed" in said


def test_faults_of_a_core_are_told(store: Store, tmp_path: Path) -> None:
    rows = real_rows(3)
    at = rows.schema.get_field_index("ts")
    later = rows.set_column(at, "ts", pa.array(["soon", *rows.column("ts").to_pylist()[1:]]))
    assert "the first is row 1" in refused(store, tmp_path, later)
    assert "a time that cannot be read" in refused(store, tmp_path, later)
    assert "the map names a column 'when' for time" in refused(store, tmp_path, rows, columns={"time": "when"})
    assert "which shop does not have" in refused(store, tmp_path, rows, events={"home_viewed": "nonsense"})
    item = pa.array(["q9"] * rows.num_rows)
    strange = rows.set_column(rows.schema.get_field_index("item_id"), "item_id", item)
    assert "1 items that the catalogue of shop does not have: q9 (36 rows)" in refused(store, tmp_path, strange)
    with pytest.raises(TrainingError, match="no such file"):
        choose(store, product=None, runs=(), split=Split(), core=Core("nowhere.parquet", KEY))
    core = Core(str(tmp_path / "bad.parquet"), KEY, CoreMap.model_validate({"items": {"unknown": "keep"}}))
    assert choose(store, product=None, runs=(), split=Split(), core=core).mixing["core"]["users"] == 3


def test_faults_of_a_map_have_lines(tmp_path: Path) -> None:
    (tmp_path / "core.yaml").write_text("columns:\n  user: who\ntime:\n  zone: Mars/Base\n")
    with pytest.raises(TrainingError) as caught:
        load_map(tmp_path / "core.yaml")
    assert "core.yaml:2" in str(caught.value)
    assert "core.yaml:4: time.zone: found 'Mars/Base', expected an IANA time zone" in str(caught.value)


def weights(store: Store) -> dict[str, tuple[int, float]]:
    rows = store.query(
        "SELECT origin, count(*) AS users, sum(mixing_weight) AS weight FROM chosen_users_all GROUP BY 1"
    )
    return {row["origin"]: (row["users"], row["weight"]) for row in rows.to_pylist()}


def test_accumulate_keeps_all_of_the_core_and_fades_the_synthetic(store: Store, real: Path) -> None:
    core = Core(str(real), KEY)
    told = choose(store, product=None, runs=(), split=Split(), core=core, mixing=Mixing(ratio=2, prior_users=10)).mixing
    assert weights(store)["core"] == (40, 40.0)
    assert weights(store)["synthetic"] == (80, pytest.approx(10.0)), "2 a core user, worth 10 of them together"
    assert told["share_of_weight"] == {"core": pytest.approx(0.8), "synthetic": pytest.approx(0.2)}
    choose(store, product=None, runs=(), split=Split(), core=core, mixing=Mixing(ratio=2, prior_users=500))
    assert weights(store)["synthetic"] == (80, 80.0), "never more than a real user"


def test_a_higher_ratio_holds_the_lower(store: Store, real: Path) -> None:
    taken = []
    for ratio in (0.5, 1, 2.25):
        choose(store, product=None, runs=(), split=Split(), core=Core(str(real), KEY), mixing=Mixing(ratio=ratio))
        rows = store.query("SELECT user_id FROM chosen_users_all WHERE origin = 'synthetic'")
        taken.append(set(rows.column(0).to_pylist()))
    assert [len(users) for users in taken] == [20, 40, 90]
    assert taken[0] < taken[1] < taken[2]


def test_augment_fills_what_is_thin_and_nothing_else(store: Store, real: Path) -> None:
    core, seen = Core(str(real), KEY), []
    for thin in (5, 30):
        choose(store, product=None, runs=(), split=Split(), core=core, mixing=Mixing(strategy="augment", thin=thin))
        users = store.query("SELECT user_id FROM chosen_users_all WHERE origin = 'synthetic'").column(0).to_pylist()
        seen.append(set(users))
        (told,) = store.query(
            "SELECT count(*) AS n FROM sessions SEMI JOIN (FROM chosen_users_all WHERE origin = 'synthetic') USING "
            "(run_id, user_id) WHERE device = 'tablet' AND hour(started) // 6 = 1"
        ).column(0).to_pylist()  # fmt: skip
        assert weights(store)["core"] == (40, 40.0)
    assert 0 < len(seen[0]) < len(seen[1]) < 200
    assert seen[0] < seen[1]
    assert told > 0
    everyone = Core(str(real), KEY)
    choose(store, product=None, runs=(), split=Split(), core=everyone, mixing=Mixing(strategy="augment", thin=1))
    assert "synthetic" in weights(store), "segments that the core does not have at all"


def test_replace_has_to_be_asked_for_in_full(store: Store, real: Path) -> None:
    with pytest.raises(TrainingError, match="lose the rare first"):
        mixing_of(strategy="replace")
    mixing = mixing_of(strategy="replace", knows_it_collapses=True)
    train, valid, test = sets(store, Core(str(real), KEY), mixing)
    assert set(train.column("origin").to_pylist()) == {"synthetic"}
    assert {*valid.column("origin").to_pylist(), *test.column("origin").to_pylist()} == {"core"}


@pytest.mark.parametrize("by", ["user", "time"])
@pytest.mark.parametrize(
    ("judge", "judges"), [("core", {"core"}), ("synthetic", {"synthetic"}), ("all", {"core", "synthetic"})]
)
def test_who_judges_can_be_chosen(store: Store, real: Path, by: str, judge: str, judges: set[str]) -> None:
    train, valid, test = sets(store, Core(str(real), KEY), judge=judge, by=by, valid=0.2, test=0.2)
    assert set(train.column("origin").to_pylist()) == {"core", "synthetic"}
    for table in (valid, test):
        assert set(table.column("origin").to_pylist()) == judges
    assert not set(train.column("user_id").to_pylist()) & set(test.column("user_id").to_pylist())


def test_copies_of_copies_are_refused_without_real_ancestors(store: Store, real: Path) -> None:
    store.query("UPDATE events SET generation = 2")
    with pytest.raises(TrainingError, match="a copy of a copy"):
        choose(store, product=None, runs=(), split=Split())
    assert choose(store, product=None, runs=(), split=Split(), copies=True).users == 100
    choose(store, product=None, runs=(), split=Split(), core=Core(str(real), KEY))
    store.query(
        "INSERT INTO runs SELECT DISTINCT run_id, 0, 1, product, 'completed', 200, 8, 7, now(), now(), now(), '', "
        "'student', 2, '{\"lineage\": {\"core\": \"abc\"}}', 'cluster' FROM events"
    )
    assert choose(store, product=None, runs=(), split=Split()).users == 100


def test_wishes_go_together(tmp_path: Path) -> None:
    place = place_of(tmp_path / "a.duckdb")
    with pytest.raises(TrainingError, match=r"--ratio says how real rows are mixed in"):
        granted(Wishes(ratio=2.0), place)
    assert granted(Wishes(), place) == (None, None, "all")
    core, mixing, judge = granted(Wishes(core="x.parquet", ratio=2.0, session_gap=10), place)
    assert core is not None
    assert mixing == Mixing(ratio=2)
    assert judge == "core"
    assert core.map.session_gap_minutes == 10
    assert key_beside(place).stat().st_mode & 0o777 == 0o600
    assert granted(Wishes(core="x.parquet"), place)[0].key == core.key, "the key is made once"  # type: ignore[union-attr]
    key_beside(place).write_text("short\n")
    with pytest.raises(TrainingError, match="not a key for pseudonyms"):
        granted(Wishes(core="x.parquet"), place)


def test_a_set_with_real_rows_is_made_again_from_the_store_and_the_core(
    store: Store, real: Path, tmp_path: Path
) -> None:
    task, core = all_tasks()["next_event"], Core(str(real), KEY)
    order = Order(task, task.options(), split=Split(judge="core"), core=core, mixing=Mixing(ratio=2.0, prior_users=50))
    found = published(build(store, order, tmp_path / "sets").directory)
    with pytest.raises(TrainingError, match="real rows were mixed in"):
        repeat_faults(found, store)
    assert repeat_faults(found, store, core) == []
    pq.write_table(real_rows(sessions=2), real)
    [fault] = repeat_faults(found, store, core)
    assert "the core is another" in fault
    bare = published(build(store, Order(task, task.options()), tmp_path / "sets").directory)
    with pytest.raises(TrainingError, match="no core belongs to it"):
        repeat_faults(bare, store, core)
