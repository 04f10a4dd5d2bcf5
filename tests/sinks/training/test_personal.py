"""Personal data: what is found, what is not, and what is never told."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personas.core.mapping import CoreMap
from personas.errors import GateError
from sinks.training.build import Order, build
from sinks.training.core.taking import Core
from sinks.training.form import Part, Rows
from sinks.training.gates.gate import Evidence
from sinks.training.gates.judging import all_gates, rows_of
from sinks.training.personal import CANDIDATE, hits_in, telling, words_in
from sinks.training.registry import all_tasks
from sinks.training.selection import choose
from sinks.training.split import Split
from sinks.training.task import Column
from tests.runs import PACKS, filled_store

TASK = all_tasks()["next_event"]

PERSONAL = [
    ("write to ann.miller+shop@mail.example.org please", "e-mail address"),
    ("Jörg.Müller@bücher.example", "e-mail address"),
    ("call me at +49 30 901820", "phone number"),
    ("my number is +1 650-253-0000, evenings", "phone number"),
    ("ring (650) 253-0000", "phone number"),
    ("650-253-0000", "phone number"),
    ("Tel. 030 901820", "phone number"),
    ("my card 4111 1111 1111 1111 was refused", "card number"),
    ("5500005555555559", "card number"),
    ("378282246310005", "card number"),
    ("refund to DE89 3704 0044 0532 0130 00", "IBAN"),
    ("GB82WEST12345698765432 PLEASE", "IBAN"),
    ("to NL91ABNA0417164300.", "IBAN"),
]
HARMLESS = [
    "", "4111 1111 1111 1112 has a wrong check digit", "0000000000000000", "order 20260101-0001-2345", "129.99",
    "0.1234567890123456", "3.4111111111111111", "p0001 and p0002", "see @brand for 2026", "4 + 5 people, 10 x 20 cm",
    "2026-01-01T12:00:00Z", "DE89 3704 0044 0532 0130 01", "tent for 2-3 persons, 190 x 120", "call 112",
    "u000000123456789-0012", "size 10-12, 100-200 euro", "shop-ab12cd34ef", "1735689600000",
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), PERSONAL)
def test_what_names_or_reaches_somebody_is_found(text: str, kind: str) -> None:
    (hit,) = hits_in(text)
    assert hit.kind == kind
    assert not any(part in hit.shown for part in text.split() if len(part) > 3 and not part.isalpha())


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert list(hits_in(text)) == []


def test_the_database_picks_every_text_in_which_something_is() -> None:
    store = filled_store("shop", users=20, days=1)
    for text, _ in PERSONAL:
        quoted = json.dumps({"query": text}, ensure_ascii=False)
        assert store.query("SELECT regexp_matches(?, ?) AS found", [quoted, CANDIDATE]).column(0)[0].as_py(), text


def test_words_of_the_core_are_whole_words() -> None:
    known = {telling("Ann Miller"): "name", telling("ann@x.example"): "identifier"}
    assert list(words_in("for ann  MILLER, please", known)) == ["ann miller"]
    assert list(words_in("mail ann@x.example.", known)) == ["ann@x.example"]
    assert list(words_in("joann millers", known)) == []
    assert telling("42") == telling("Al") == telling("12345") == ""
    assert telling("123456") == "123456"


def evidence_of(name: str, folder: Path, users: int = 400, days: float = 16) -> Evidence:
    """A run, and one row of a chat."""
    store = filled_store(name, users=users, days=days)
    choose(store, product=None, runs=(), split=Split())
    return with_rows(Evidence(store, name), folder, [[{"role": "user", "content": "hello"}]])


def with_rows(evidence: Evidence, folder: Path, chats: list[object]) -> Evidence:
    column = Column("messages", "feature", "STRUCT(role VARCHAR, content VARCHAR)[]", "A chat")
    pq.write_table(pa.table({"messages": chats}), folder / "chats.parquet")
    items = evidence.store.query("FROM chosen_items")
    rows = Rows("support", evidence.product, (column,), folder, (Part("train", "chats.parquet", 1),), items)
    with rows_of(rows) as database:
        database.query("CREATE TEMP TABLE kept AS FROM made")
        figure = all_gates()["personal_data"].judge(Evidence(evidence.store, evidence.product, (column,), database), 0)
    return figure  # type: ignore[return-value]


@pytest.mark.parametrize("name", PACKS)
def test_what_the_packs_generate_has_nothing_personal_in_it(name: str, tmp_path: Path) -> None:
    figure, found, note = evidence_of(name, tmp_path)  # type: ignore[misc]
    assert (figure, found) == (0.0, ())
    assert "no core" in note


def test_a_chat_with_an_address_is_found(tmp_path: Path) -> None:
    store = filled_store("shop", users=100, days=4)
    choose(store, product=None, runs=(), split=Split())
    chats = [[{"role": "user", "content": "I am ann@example.org"}], [{"role": "user", "content": "hi"}]]
    figure, found, _ = with_rows(Evidence(store, "shop"), tmp_path, chats)  # type: ignore[misc]
    assert figure == 1.0
    assert [(each.where, each.what) for each in found] == [("messages", "1 times e-mail address: a… (15 characters)")]


def test_a_build_is_held_back_and_does_not_repeat_what_it_found(tmp_path: Path) -> None:
    store = filled_store("shop", users=100, days=8)
    store.query(
        'UPDATE events SET properties = json_merge_patch(properties, \'{"query": "mail ann.miller@example.org"}\') '
        "WHERE type = 'products_searched' AND session_id = (SELECT min(session_id) FROM events WHERE "
        "type = 'products_searched')"
    )
    with pytest.raises(GateError, match=r"products_searched.query: \d times e-mail address: a…") as caught:
        build(store, Order(TASK, TASK.options()), tmp_path)
    assert "miller" not in str(caught.value)
    assert list(tmp_path.rglob("*.parquet")) == []


def test_words_by_which_the_core_is_known_are_looked_for_everywhere(tmp_path: Path) -> None:
    store = filled_store("shop", users=100, days=8)
    rows = [
        {"user_id": f"customer{n:04}", "ts": f"2025-03-0{1 + n % 9} 10:00:00", "event": "products_searched",
         "who": "Ida Kern", "query": "lamp for Ida Kern" if n == 3 else "lamp"}
        for n in range(20)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "real.parquet")
    core = Core(str(tmp_path / "real.parquet"), bytes(32), CoreMap(personal=("who",)))
    order = Order(TASK, TASK.options(), core=core)
    with pytest.raises(GateError, match=r"core, products_searched.query: 1 times a word of the core \(who\)") as caught:
        build(store, order, tmp_path)
    assert "Kern" not in str(caught.value)
    store.query(
        'UPDATE events SET properties = json_merge_patch(properties, \'{"query": "like customer0007"}\') '
        "WHERE type = 'products_searched'"
    )
    rows[3]["query"] = "lamp"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "real.parquet")
    with pytest.raises(GateError, match=r"products_searched.query: \d+ times a word of the core \(identifier\)"):
        build(store, order, tmp_path)
