"""A core is read in many forms and in anybody's words; what is bad in it costs itself and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personas.core.mapping import CoreMap
from personas.core.source import open_source
from personas.errors import CoreError
from personas.pack import load_pack
from simulator.twins.ancestry import Ancestry, ancestry_of
from simulator.twins.core import Core, read_core
from simulator.twins.database import Database, open_memory
from tests.simulator.test_twins_model import small_log


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with open_memory("1GB") as opened:
        yield opened


def read(database: Database, path: Path | str, **words: object) -> Core:
    options = {name: words.pop(name) for name in ("pack", "columns", "bad_rows") if name in words}
    return read_core(database, str(path), CoreMap.model_validate(words), **options)  # type: ignore[arg-type]


def behaviour(log: pa.Table) -> list[tuple[object, ...]]:
    """What happened, without the names of who it happened to."""
    sessions: dict[str, list[object]] = {}
    for row in log.to_pylist():
        sessions.setdefault(row["session_id"], []).append((row["ts"], row["event"], row["item_id"]))
    return sorted(tuple(steps) for steps in sessions.values())


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "folder", "duckdb"])
def test_a_core_is_the_same_in_every_form(database: Database, tmp_path: Path, kind: str) -> None:
    table = small_log(20)
    given = write(table, tmp_path, kind)
    core = read(database, given)
    assert behaviour(core.log) == behaviour(table)
    assert core.told["users"] == 20 and core.told["sessions"] == 27 and core.told["set_aside"] == {}
    assert all(len(file["sha256"]) == 64 for file in core.told["files"])
    told = json.dumps(core.told) + json.dumps(core.log.select(["user_id", "session_id"]).to_pylist())
    assert "person-" not in told, "nobody has a name any more"


def write(table: pa.Table, folder: Path, kind: str) -> str:
    path = folder / f"core.{kind}"
    lines = [{**row, "ts": row["ts"].isoformat()} for row in table.to_pylist()]
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "csv":
        rows = [",".join(str(value or "") for value in line.values()) for line in lines]
        path.write_text("\n".join([",".join(table.column_names), *rows]) + "\n")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif kind == "folder":
        path.mkdir()
        pq.write_table(table.slice(0, 31), path / "a.parquet")
        pq.write_table(table.slice(31), path / "b.parquet")
    else:
        from sinks.database import open_file

        store = open_file(str(path), read_only=False, memory_limit="1GB")
        with store.registered(table):
            store.execute("CREATE TABLE real_events AS FROM incoming")
        store.close()
        return f"{path}::real_events"
    return str(path)


BAD_LINES = [
    b'u1,2026-03-02 10:00:00,look,"a slip of the pen\n',
    b"u1,2026-03-02 10:00:00,look,i1,one,two\n",
    b"u1,2026-03-02 10:00:00,lo\xff\xfek,i1\n",
    b"u1,yesterday,look,i1\n",
    b",2026-03-02 10:00:00,look,i1\n",
    b"u1,2026-03-02 10:00:00,,i1\n",
]


@pytest.mark.parametrize("bad", BAD_LINES)
def test_a_bad_line_of_a_csv_costs_itself(database: Database, tmp_path: Path, bad: bytes) -> None:
    good = [f'u{n % 7},2026-03-02 1{n % 10}:{n:02}:00,look,"i, {n % 3}"\n'.encode() for n in range(60)]
    short = b"u3,2026-03-02 09:00:00,look\n"
    path = tmp_path / "core.csv"
    path.write_bytes(b"user_id,ts,event,item_id\n" + b"".join([*good[:30], bad, short, *good[30:]]))
    core = read(database, path, bad_rows=tmp_path / "bad.parquet")
    assert core.log.num_rows == 61, "the good ones around it, and the one that has no item"
    assert sum(core.told["set_aside"].values()) == 1
    assert set(core.log["item_id"].to_pylist()) == {"i, 0", "i, 1", "i, 2", None}
    reasons = pq.read_table(tmp_path / "bad.parquet")["reason"].to_pylist()
    assert reasons == [reason for reason in core.told["set_aside"] if reason != "no row at all"]


def test_a_value_may_go_over_lines(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "core.csv"
    path.write_bytes(b'user_id,ts,event,item_id\nu1,2026-03-02 10:00,look,"two\nlines"\n'
                     b'u1,2026-03-02 10:01,look,"a slip\nu2,2026-03-02 10:00,look,"three\n\nlines"\n')  # fmt: skip
    core = read(database, path)
    assert sorted(core.log["item_id"].to_pylist()) == ["three\n\nlines", "two\nlines"]


def test_a_bad_line_of_json_costs_itself(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "core.jsonl"
    good = '{"user_id": "u1", "ts": "2026-03-02T10:00:00+02:00", "event": "look", "price": 3.5}\n'
    path.write_text(good + '{"user_id": "u1", "ts":\n' + "[1, 2]\n" + "\n" + good.replace("u1", "u2"))
    core = read(database, path)
    assert core.told["set_aside"] == {"no row at all": 2} and core.told["users"] == 2
    assert core.log["ts"][0].as_py() == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert core.log["price"].type == pa.float64()


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (1772442000, {}), (1772442000000, {}), ("2026-03-02 10:00:00", {"zone": "Europe/Berlin"}),
        ("02.03.2026 09:00", {"format": "%d.%m.%Y %H:%M"}), (datetime(2026, 3, 2, 9, tzinfo=UTC), {}),
        ("2026-03-02T04:00:00-05:00", {}), ("1772442000", {"format": "epoch_s"}),
    ],
)  # fmt: skip
def test_times_are_utc_whatever_zone_they_were_written_in(
    database: Database, tmp_path: Path, value: object, time: dict[str, str]
) -> None:
    pq.write_table(pa.table({"user_id": ["a"], "ts": [value], "event": ["look"]}), tmp_path / "core.parquet")
    core = read(database, tmp_path / "core.parquet", time=time)
    assert core.log["ts"].to_pylist() == [datetime(2026, 3, 2, 9, tzinfo=UTC)]


def test_ids_that_look_like_numbers_keep_their_zeros(database: Database, tmp_path: Path) -> None:
    (tmp_path / "core.csv").write_text(
        "user_id,ts,event,item_id,price\n7,1772442000,look,01,5\n07,1772442000,look,1,6\n007,1772442000,look,001,\n"
    )
    core = read(database, tmp_path / "core.csv")
    assert core.told["users"] == 3 and set(core.log["item_id"].to_pylist()) == {"01", "1", "001"}
    assert sorted(core.log["price"].to_pylist(), key=str) == [5, 6, None]


def test_texts_of_digits_stay_texts_where_they_are_meant(database: Database, tmp_path: Path) -> None:
    log = small_log(10)
    texts = {"version": ["2.10"] * log.num_rows, "zone": ["07"] * log.num_rows, "price": ["5"] * log.num_rows}
    given = pa.table({**{name: log[name] for name in log.column_names}, **texts})
    kinds = {"parquet": {"version": pa.string(), "zone": pa.string(), "price": pa.string()},
             "csv": {"version": pa.float64(), "zone": pa.string(), "price": pa.int64()}}  # fmt: skip
    for kind, expected in kinds.items():
        core = read(database, write(given, tmp_path, kind))
        assert {name: core.log[name].type for name in texts} == expected
        assert set(core.log["zone"].to_pylist()) == {"07"}


def test_sessions_are_cut_where_nothing_happened(database: Database, tmp_path: Path) -> None:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    rows = [{"user_id": "a", "ts": start + timedelta(minutes=m), "event": "look"} for m in (61, 0, 20, 91)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "core.parquet")
    assert read(database, tmp_path / "core.parquet").told["sessions"] == 2
    assert read(database, tmp_path / "core.parquet", session_gap_minutes=29).told["sessions"] == 3
    core = read(database, tmp_path / "core.parquet", session_gap_minutes=41)
    assert core.told["sessions"] == 1 and not core.told["sessions_given"]
    assert core.log["ts"].to_pylist() == sorted(core.log["ts"].to_pylist())


def test_without_users_each_session_is_one(database: Database, tmp_path: Path) -> None:
    pq.write_table(small_log(10).drop_columns(["user_id"]), tmp_path / "core.parquet")
    core = read(database, tmp_path / "core.parquet")
    assert core.told["users"] == core.told["sessions"] == 14 and not core.told["users_named"]


def test_session_ids_may_count_by_user_or_be_unique(database: Database, tmp_path: Path) -> None:
    table = small_log(60)
    by_user = [name.partition("-")[2] for name in table["session_id"].to_pylist()]
    pq.write_table(table.set_column(1, "session_id", [by_user]), tmp_path / "core.parquet")
    assert read(database, tmp_path / "core.parquet").told["sessions"] == 80
    people = table["user_id"].to_pylist()
    people[1] = "somebody who took over"
    pq.write_table(table.set_column(0, "user_id", [people]), tmp_path / "core.parquet")
    assert read(database, tmp_path / "core.parquet").told["sessions"] == 80


def test_a_row_that_was_delivered_twice_counts_once(database: Database, tmp_path: Path) -> None:
    table = small_log(10)
    twice = pa.concat_tables([table, table.slice(0, 5)])
    pq.write_table(twice, tmp_path / "core.parquet")
    assert read(database, tmp_path / "core.parquet").told["set_aside"] == {}, "in a second one can look twice"
    order = twice.append_column("step", pa.array([*range(table.num_rows), *range(5)]))
    pq.write_table(order, tmp_path / "core.parquet")
    core = read(database, tmp_path / "core.parquet")
    assert core.told["set_aside"] == {"a copy of another row": 5} and core.log.num_rows == table.num_rows


def test_what_was_in_order_in_the_file_stays_so_within_a_day(database: Database, tmp_path: Path) -> None:
    day = datetime(2026, 3, 2, tzinfo=UTC)
    events = [f"e{n}" for n in range(40)]
    pq.write_table(pa.table({"user_id": ["a"] * 40, "ts": [day] * 40, "event": events}), tmp_path / "core.parquet")
    assert read(database, tmp_path / "core.parquet").log["event"].to_pylist() == events


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"customer": ["a"], "at": ["2026-03-02"], "action": ["x"]}, r"no column for time.*(?s:.)*event: action"),
        ({"ts": ["2026-03-02"], "event": ["x"]}, "no column for user_id"),
        ({"user_id": ["a"], "ts": ["2 o'clock"], "event": ["x"]}, "1 have a time that cannot be read.*2 o'clock"),
        ({"user_id": [], "ts": [], "event": []}, "there are no rows in it"),
        ({"user_id": ["a"], "ts": ["2026-03-02"], "event": [None]}, "1 have no event"),
    ],
)
def test_what_cannot_be_read_is_told(
    database: Database, tmp_path: Path, columns: dict[str, list[object]], said: str
) -> None:
    schema = pa.schema([(name, pa.string()) for name in columns])
    pq.write_table(pa.table(columns, schema=schema), tmp_path / "core.parquet")
    with pytest.raises(CoreError, match=said) as caught:
        read(database, tmp_path / "core.parquet")
    assert caught.value.exit_code == 8


def test_a_file_that_is_none_is_told(database: Database, tmp_path: Path) -> None:
    for name, content in (
        ("core.csv", b""),
        ("core.jsonl", b"no json\n"),
        ("core.parquet", b"PAR1"),
        ("core.txt", b"x"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CoreError, match=name):
            read(database, tmp_path / name)
    with pytest.raises(CoreError, match=r"nowhere.csv: there is no such file"):
        read(database, "nowhere.csv")


def test_the_words_of_a_pack_are_asked_for(database: Database, tmp_path: Path) -> None:
    pack = load_pack("shop")
    pq.write_table(small_log(10), tmp_path / "core.parquet")
    with pytest.raises(CoreError, match=r"events that shop does not have(?s:.)*\n    events:\n      (?s:.)*--new-pack"):
        read(database, tmp_path / "core.parquet", pack=pack)
    events = {"open": "home_viewed", "look": "product_viewed", "buy": "product_added", "confess": None}
    with pytest.raises(CoreError, match=r"4 items that the catalogue of shop does not have: i\d \(\d+ rows\)"):
        read(database, tmp_path / "core.parquet", pack=pack, events=events)
    with pytest.raises(CoreError, match=r"events.open: found 'home', which shop does not have"):
        read(database, tmp_path / "core.parquet", pack=pack, events={**events, "open": "home"})
    ids = {f"i{n}": f"p000{n + 1}" for n in range(4)}
    core = read(database, tmp_path / "core.parquet", pack=pack, events=events, items={"ids": ids})
    assert set(core.log["event"].to_pylist()) == {"home_viewed", "product_viewed", "product_added"}
    assert core.told["left_out"] == 1 and core.log["item_id"].drop_null().to_pylist()[0].startswith("p000")
    empty = read(database, tmp_path / "core.parquet", pack=pack, events=events, items={"unknown": "empty"})
    assert empty.log["item_id"].null_count == empty.log.num_rows


def test_further_columns_are_those_that_are_plain_or_wanted(database: Database, tmp_path: Path) -> None:
    table = small_log(10)
    more = {"price": pa.array([1.5] * table.num_rows), "mail": pa.array(["a@example.org"] * table.num_rows),
            "when": table["ts"], "tags": pa.array([["a"]] * table.num_rows)}  # fmt: skip
    for name, column in more.items():
        table = table.append_column(name, column)
    pq.write_table(table, tmp_path / "core.parquet")
    assert read(database, tmp_path / "core.parquet", personal=["mail"]).told["further"] == ["price"]
    assert read(database, tmp_path / "core.parquet", columns=[]).told["further"] == []
    assert read(database, tmp_path / "core.parquet", properties={"cost": "price"}, columns=["cost"]).told[
        "further"
    ] == ["cost"]
    with pytest.raises(CoreError, match="has no column 'prize'"):
        read(database, tmp_path / "core.parquet", columns=["prize"])


def test_rows_that_a_generator_made_say_so(database: Database, tmp_path: Path) -> None:
    table = small_log(10)
    pq.write_table(table, tmp_path / "core.parquet")
    assert read(database, tmp_path / "core.parquet").ancestry.generation == 0
    own = json.dumps({"generation": 2, "ancestors": ["model abc"]})
    pq.write_table(table.replace_schema_metadata({"dayone": own}), tmp_path / "core.parquet")
    found = read(database, tmp_path / "core.parquet").ancestry
    assert (found.generation, found.ancestors) == (2, ("model abc",))
    column = table.append_column("generation", pa.array([1] * table.num_rows))
    column = column.append_column("run_id", pa.array(["shop-1"] * table.num_rows))
    pq.write_table(column, tmp_path / "core.parquet")
    assert read(database, tmp_path / "core.parquet").ancestry.told() == {
        "generation": 1,
        "ancestors": ["run shop-1"],
        "real": False,
    }


def test_what_a_core_descends_from_is_read_from_its_rows_and_its_file(tmp_path: Path) -> None:
    rows = {"user_id": ["a", "b"], "generation": [1, 2], "run_id": ["r1", "r2"]}

    def ancestry(told: dict[str, object] | None, **columns: list[object]) -> Ancestry:
        table = pa.table(columns or rows)
        if told is not None:
            table = table.replace_schema_metadata({"dayone": json.dumps(told)})
        path = tmp_path / "log.parquet"
        pq.write_table(table, path)
        with open_memory("1GB") as database:
            return ancestry_of(database, open_source(database, str(path)), str(path))

    assert ancestry(None, user_id=["a"]) == Ancestry(0, (), real=True)
    assert ancestry(None) == Ancestry(2, ("run r1", "run r2"), real=False)
    assert ancestry(None, user_id=["a", "b"], generation=[0, 3]) == Ancestry(3, (), real=True)
    copied = {"generation": 1, "ancestors": ["model m"], "real": True}
    assert ancestry(copied, user_id=["a"]) == Ancestry(1, ("model m",), real=True)
    assert ancestry({**copied, "real": False}) == Ancestry(2, ("model m", "run r1", "run r2"), real=False)
