"""The quick way through a fetch of events finds what the ordinary way finds, and passes nothing that is bad."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks import batch as b
from sinks.ingest import Decoder
from sinks.layout import cut, learn
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import (
    CONVERSATIONS,
    EVENTS,
    LABELS,
    SESSIONS,
    USERS,
    batch_of,
    events,
    message,
    other_records,
    tiny_pack,
)

QUICK = Decoder(vocabulary_of(tiny_pack()), max_bytes=10_000)
ORDINARY = Decoder(vocabulary_of(tiny_pack()), max_bytes=10_000)
ORDINARY._build[EVENTS] = ORDINARY._events_each


def not_alike(*_: object) -> Any:
    raise ValueError("never")


ORDINARY._of_type_alike = not_alike  # type: ignore[method-assign]


def messages(values: list[Any], topic: str = EVENTS) -> b.Messages:
    return batch_of(topic, [(b"k", value) for value in values])


def agree(values: list[Any], topic: str = EVENTS) -> b.Batch:
    """Both ways give the same rows and the same dead letters."""
    quick, ordinary = QUICK.decode([messages(values, topic)]), ORDINARY.decode([messages(values, topic)])
    assert quick.dead_letters == ordinary.dead_letters
    assert quick.tables.keys() == ordinary.tables.keys()
    for name, table in quick.tables.items():
        assert table.equals(ordinary.tables[name])
    return quick


def value_of(record: int = 3, **change: Any) -> bytes:
    fields: dict[str, Any] = {"kind": "product_viewed", "ident": f"u1-0.{record}", "user": "u1", "session": "u1-0"}
    fields |= {"data": {"product_id": "p3", "price": 9.5}} | change
    return message(**fields)


def test_messages_that_are_alike_take_the_quick_way() -> None:
    records = events(400)
    quick, ordinary = QUICK._events_alike(batch_of(EVENTS, records)), ORDINARY._events_each(batch_of(EVENTS, records))
    assert quick.equals(ordinary)
    assert set(quick.column("item_id").to_pylist()) > {None, "p3"}
    assert agree([value for _, value in records]).rows == 400


def test_texts_of_any_length_come_through() -> None:
    names = ["u", "u23456789ab", "u23456789abc", "u23456789abcd", "ü" * 40, "u" * 200, "\x7f", "𝄞 mus'ic"]
    values = [
        value_of(ident=f"{user}-0.{number}", user=user, session=f"{user}-0")
        for user in names
        for number in (0, 7, 10, 999_999_999)
    ]
    table = QUICK._events_alike(messages(values))
    assert table.column("user_id").to_pylist() == [user for user in names for _ in range(4)]
    assert table.column("sequence").to_pylist() == [0, 7, 10, 999_999_999] * len(names)
    assert agree(values).rows == len(values)


SECOND: dict[str, Callable[[], Any]] = {
    "no value": lambda: None,
    "nothing": lambda: b"",
    "an array": lambda: b"[]",
    "cut short": lambda: value_of(4)[:-1],
    "two objects": lambda: value_of(4) + value_of(5),
    "two objects on two lines": lambda: value_of(4) + b"\n" + value_of(5),
    "something behind": lambda: value_of(4) + b"}",
    "too long": lambda: value_of(4, data={"product_id": "p", "price": 1.0, "note": "x" * 10_000}),
    "another run": lambda: value_of(4, run="tiny-bbbbbbbbbb"),
    "another product": lambda: value_of(4, source="/dayone/other"),
    "another generation": lambda: value_of(4, generation=7),
    "not synthetic": lambda: value_of(4, synthetic=False),
    "an unknown type": lambda: value_of(4, kind="teleported"),
    "an extension": lambda: value_of(4, traceparent="00-1"),
    "an extension that looks like data": lambda: value_of(4, other={"id": "x", "data": {"product_id": "p"}}),
    "spaces": lambda: json.dumps(json.loads(value_of(4))).encode(),
    "another order": lambda: b'{"data":{"product_id":"p3","price":9.5},' + value_of(4)[1:].split(b',"data"')[0] + b"}",
    "data twice": lambda: value_of(4)[:-1] + b',"data":{"product_id":"p9","price":1.0}}',
    "an id twice": lambda: value_of(4)[:-1] + b',"id":"u1-0.9"}',
    "a subject behind data": lambda: value_of(4)[:-1] + b',"subject":"u7"}',
    "an escape in the user": lambda: value_of(4).replace(b'"subject":"u1"', b'"subject":"\\u0075"'),
    "an escaped quote in the user": lambda: value_of(4).replace(b'"subject":"u1"', b'"subject":"u\\"1"'),
    "a line break in the user": lambda: value_of(4).replace(b'"subject":"u1"', b'"subject":"u\n1"'),
    "not UTF-8 in the user": lambda: value_of(4).replace(b'"subject":"u1"', b'"subject":"u\xff"'),
    "not UTF-8 in the data": lambda: value_of(4).replace(b"p3", b"p\xff"),
    "an id of another session": lambda: value_of(4, ident="u2-0.4"),
    "an id without a sequence": lambda: value_of(4, ident="u1-0"),
    "an id that is too long": lambda: value_of(4, ident="u1-0.1234567890"),
    "a sequence with a sign": lambda: value_of(4, ident="u1-0.-4"),
    "a sequence with a zero before": lambda: value_of(4, ident="u1-0.04"),
    "a sequence of letters": lambda: value_of(4, ident="u1-0.4a"),
    "a date that there is not": lambda: value_of(4, time="2026-02-30T00:00:00Z"),
    "a time without a zone": lambda: value_of(4, time="2026-02-03T00:00:00"),
    "an empty user": lambda: value_of(4, user=""),
    "data that is no object": lambda: value_of(4, data=[{"a": {}}]),
    "data of a wrong type": lambda: value_of(4, data={"product_id": 3, "price": 9.5}),
    "data with a line break between": lambda: value_of(4).replace(b',"price"', b',\n"price"'),
    "data with an escape": lambda: value_of(4, data={"product_id": 'p"\\\n', "price": 1.0}),
    "deep data": lambda: value_of(4).replace(b"9.5", b'9.5,"x":' + b"[" * 3000 + b"]" * 3000),
}  # fmt: skip


@pytest.mark.parametrize("case", SECOND)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_not_alike_is_read_as_ever(case: str, place: int) -> None:
    values: list[Any] = [value_of(1), value_of(2)]
    values.insert(place, SECOND[case]())
    batch = agree(values)
    assert batch.messages == batch.rows + len(batch.dead_letters) == 3


def test_objects_that_only_together_are_json_are_not_taken_for_messages() -> None:
    """One message opens what the next one closes, and a third holds two: the count is right, nothing else is."""
    opened = value_of(1)[:-2] + b',"x":[{}}'
    closed = value_of(2)[:-1] + b"}]}}"
    for values in ([opened, closed, value_of(3) + b"," + value_of(4)], [opened, closed], [opened, value_of(2), closed]):
        batch = agree([value_of(0), *values])
        assert batch.rows + len(batch.dead_letters) == len(values) + 1
        assert len(batch.dead_letters) >= 2


def test_a_layout_is_learned_only_from_compact_messages_with_every_field_once() -> None:
    assert learn(value_of()) is not None
    for value in (
        b"", b"{}", b'"data"', json.dumps(json.loads(value_of())).encode(), value_of(user=None),
        value_of().replace(b'"subject"', b'"id":"u1-0.3","subject"'), value_of(user='"'),
    ):  # fmt: skip
        assert learn(value) is None


def test_places_are_those_of_the_bytes() -> None:
    values = [value_of(1), value_of(22, user="someone else")]
    layout = learn(values[0])
    assert layout is not None
    found = cut(layout, values, 10_000)
    assert found.text("subject").to_pylist() == ["u1", "someone else"]
    assert found.data_text().to_pylist() == ['{"product_id":"p3","price":9.5}'] * 2
    assert found.sequences().to_pylist() == [1, 22]


def test_a_session_is_not_looked_for_inside_of_something_else() -> None:
    inside = [value_of(number, session=None).replace(b'"data":{"p', b'"x":{"sessionid":"u1-0"},"data":{"p')
              for number in (1, 2)]  # fmt: skip
    assert learn(inside[0]) is None
    assert len(agree(inside).dead_letters) == 2


OTHERS = [SESSIONS, USERS, LABELS, CONVERSATIONS]


def others(topic: str, sessions: int = 4) -> list[bytes]:
    return [value for number in range(sessions) for _, value in other_records(number)[topic]]


@pytest.mark.parametrize("topic", OTHERS)
def test_messages_of_our_own_types_that_are_alike_take_the_quick_way(
    topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = others(topic)
    assert agree(values, topic).rows == len(values)
    monkeypatch.setattr(QUICK, "_envelopes", not_alike)  # from here on there is no other way
    assert QUICK.decode([messages(values, topic)]).rows == len(values)


@pytest.mark.parametrize("topic", OTHERS)
@pytest.mark.parametrize(("old", "new"), [
    (b'"sessionid"', b'"session"'), (b'"type":"dayone.', b'"type":"other.'), (b".session", b".user"),
    (b".label", b".session"), (b'"subject":"u', b'"subject":"\xff'), (b'"data":{', b'"data":{"x":"\xff",'),
    (b'"data":{', b'"x":{"id":"x","sessionid":"y"},"data":{'), (b'"data":{', b'"data":{\n'), (b"}}", b"}"),
    (b"}}", b"}}}"), (b'"time":"2026', b'"time":"2o26'), (b'"u0', b'"\\u00750'), (b"0.", b'"0.'), (b"true", b"1"),
    (b"u0000001", b"u0000001" * 2000),
])  # fmt: skip
def test_messages_of_our_own_types_that_are_not_alike_are_read_as_ever(topic: str, old: bytes, new: bytes) -> None:
    values = others(topic)
    for place in range(3):
        damaged = [*values[:place], values[place].replace(old, new), *values[place + 1 :]]
        batch = agree(damaged, topic)
        assert batch.messages == len(damaged) == batch.rows + len(batch.dead_letters) + sum(batch.duplicates.values())


PIECES = [b'"', b"\\", b"{", b"}", b"}}", b",", b"\n", b"]", b"[", b':"', b',"data":{', b"\xff", b"\x00", b"0", b".",
          b"", b'"},"data":{"', b"null", b"u2", b"\xc3"]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An event with up to three pieces of it replaced, doubled or left out."""
    value = draw(st.sampled_from(events(8)))[1]
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(value)))
        end = draw(st.integers(begin, min(len(value), begin + 6)))
        value = value[:begin] + draw(st.sampled_from(PIECES) | st.binary(max_size=3)) + value[end:]
    return value


@settings(deadline=None, max_examples=150)
@given(st.lists(damaged() | st.sampled_from(events(8)).map(lambda record: record[1]), min_size=1, max_size=6))
def test_both_ways_agree_on_any_bytes(values: list[bytes]) -> None:
    batch = agree(values)
    assert batch.messages == batch.rows + len(batch.dead_letters) + sum(batch.duplicates.values())


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_both_ways_agree_on_any_texts_in_the_fields(data: st.DataObject) -> None:
    """Damage inside fields alone, which the check of what is around them does not see."""
    text = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(["u1", '"', "\\", ".", "u1-0.1"])
    values = []
    for number in range(data.draw(st.integers(1, 4))):
        session = data.draw(text)
        ident = data.draw(st.sampled_from([f"{session}.{number}", f"{session}.0{number}", f"{session}{number}"]) | text)
        time = data.draw(
            st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+01:00", "2026-01-02"]) | text
        )
        values.append(value_of(ident=ident, session=session, user=data.draw(text), time=time))
    agree(values)
