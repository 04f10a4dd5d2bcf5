"""The decoder: what becomes a row, what becomes a dead letter, and that nothing is ever neither."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sinks import batch as b
from sinks.columns import SCHEMAS
from sinks.ingest import Decoder
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import (
    CONVERSATIONS,
    EVENTS,
    LABELS,
    RUN_ID,
    SESSIONS,
    STEPS,
    USERS,
    batch_of,
    data_of,
    events,
    everything,
    manifest,
    message,
    other_records,
    session_events,
    tiny_pack,
)

DECODER = Decoder(vocabulary_of(tiny_pack()), max_bytes=10_000)

#: Stands for a number that is valid JSON and becomes infinite.
HUGE = "1e999"


def one(value: bytes | None, topic: str = EVENTS) -> b.Batch:
    return DECODER.decode([b.Messages(topic, [0], [7], [b"k"], [value])])


def good(**change: Any) -> bytes:
    fields: dict[str, Any] = {"kind": "product_viewed", "ident": "u1-0.3", "user": "u1", "session": "u1-0"} | change
    data = fields.pop("data", data_of("product_viewed", 3))
    return message(data=data, **fields)


def test_an_event_becomes_a_row_with_every_column() -> None:
    batch = one(good())
    row = batch.tables["events"].to_pylist()[0]
    assert row["time"].isoformat() == "2026-01-02T03:04:05.678000+00:00"
    del row["time"]
    properties = json.loads(row.pop("properties"))
    assert properties == {"product_id": "p3", "price": 9.5, "position": 3}
    assert row == {
        "event_id": "u1-0.3", "run_id": RUN_ID, "product": "tiny", "session_id": "u1-0", "sequence": 3,
        "user_id": "u1", "type": "product_viewed", "item_id": "p3", "synthetic": True, "generator": "prior",
        "generation": 1, "topic_partition": 0, "topic_offset": 7,
    }  # fmt: skip
    assert batch.next_offsets == {(EVENTS, 0): 8}
    assert not batch.dead_letters


def test_every_topic_becomes_its_table() -> None:
    batch = DECODER.decode([batch_of(topic, records) for topic, records in everything(3)])
    assert {name: table.num_rows for name, table in batch.tables.items()} == {
        "events": 12, "sessions": 3, "users": 3, "labels": 6, "conversations": 3,
    }  # fmt: skip
    for name, table in batch.tables.items():
        assert table.schema == SCHEMAS[name]
    labels = batch.tables["labels"].to_pylist()
    session = next(label for label in labels if label["kind"] == "session")
    user = next(label for label in labels if label["kind"] == "user")
    assert json.loads(session["problems"]) == [{"sequence": 1, "problem": "slow_page"}]
    assert json.loads(session["slates"])[0]["propensities"] == [0.5, 0.5]
    assert session["session_id"] == "u0000000-0" and session["intent"] == "buy" and session["traits"] is None
    assert json.loads(user["tastes"]) == {"things": 1.0} and user["sessions_per_week"] == 2.5
    assert user["session_id"] is None
    assert batch.tables["sessions"].to_pylist()[0]["converted"] is True


def test_manifests_of_other_products_are_counted_and_left_out() -> None:
    batch = DECODER.decode([batch_of("dayone.runs", [manifest(), manifest(product="other")])])
    assert [m.identity.product for m in batch.manifests] == ["tiny"]
    assert (batch.tables["runs"].num_rows, batch.foreign) == (1, 1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, b.NOT_JSON),
        (b"", b.NOT_JSON),
        (b"hello", b.NOT_JSON),
        (b"[" * 5000, b.NOT_JSON),
        (good()[:-5], b.NOT_JSON),
        (good(user="\xff").replace("\xff".encode(), b"\xff"), b.NOT_UTF8),
        (good(data={"product_id": "p1", "price": 1.0, "note": "§"}).replace("§".encode(), b"\xff"), b.NOT_UTF8),
        (good(data={"product_id": "p1", "price": 1.0, "note": "x" * 10_000}), b.TOO_LARGE),
        (b"x" * 10_001, b.TOO_LARGE),
        (b"{}", b.WRONG_ENVELOPE),
        (b"[]", b.WRONG_ENVELOPE),
        (good(specversion="0.3"), b.WRONG_ENVELOPE),
        (good(time="2026-01-02T03:04:05"), b.WRONG_ENVELOPE),
        (good(time="yesterday"), b.WRONG_ENVELOPE),
        (good(time="2026-02-30T00:00:00Z"), b.WRONG_ENVELOPE),
        (good(ident="u1-0"), b.WRONG_ENVELOPE),
        (good(ident="u1-0.03"), b.WRONG_ENVELOPE),
        (good(ident="u1-0.-1"), b.WRONG_ENVELOPE),
        (good(ident="u2-0.1"), b.WRONG_ENVELOPE),
        (good(session=None), b.WRONG_ENVELOPE),
        (good(generation=-1), b.WRONG_ENVELOPE),
        (good(generation=2**40), b.WRONG_ENVELOPE),
        (good(generation="1"), b.WRONG_ENVELOPE),
        (good(synthetic="yes"), b.WRONG_ENVELOPE),
        (good(source="/dayone/other"), b.WRONG_PRODUCT),
        (good(kind="teleported"), b.UNKNOWN_EVENT_TYPE),
        (good(kind="dayone.session"), b.UNKNOWN_EVENT_TYPE),
        (good(data={"product_id": "p1"}), b.WRONG_PROPERTY),
        (good(data={"product_id": 5, "price": 1.0}), b.WRONG_PROPERTY),
        (good(data=[]), b.WRONG_PROPERTY),
    ],
)  # fmt: skip
def test_every_kind_of_bad_message_has_its_reason_and_takes_no_neighbour_along(
    value: bytes | None, reason: str
) -> None:
    values = [record[1] for record in events(8)]
    values.insert(5, value)  # type: ignore[arg-type]
    batch = DECODER.decode([b.Messages(EVENTS, [0] * 9, range(9), [b"k"] * 9, values)])
    assert [(letter.reason, letter.offset, letter.value) for letter in batch.dead_letters] == [(reason, 5, value)]
    assert batch.dead_letters[0].detail
    assert batch.tables["events"].column("topic_offset").to_pylist() == [0, 1, 2, 3, 4, 6, 7, 8]
    assert batch.next_offsets == {(EVENTS, 0): 9}


@pytest.mark.parametrize(
    ("topic", "path", "value", "reason"),
    [
        (SESSIONS, ("data", "started"), "soon", b.WRONG_PROPERTY),
        (SESSIONS, ("data", "events"), 2**31, b.WRONG_PROPERTY),
        (SESSIONS, ("type",), "dayone.user", b.UNKNOWN_EVENT_TYPE),
        (SESSIONS, ("sessionid",), None, b.WRONG_ENVELOPE),
        (USERS, ("data", "signed_up"), "2026-01-01", b.WRONG_PROPERTY),
        (LABELS, ("data", "weight"), "heavy", b.WRONG_PROPERTY),
        (LABELS, ("sessionid",), None, b.WRONG_ENVELOPE),
        ("dayone.runs", ("data", "state"), "odd", b.WRONG_PROPERTY),
        ("dayone.runs", ("data", "shard"), 2**40, b.WRONG_PROPERTY),
        ("dayone.runs", ("data", "days"), HUGE, b.WRONG_PROPERTY),
        ("dayone.runs", ("data", "identity", "problem_rate"), HUGE, b.WRONG_PROPERTY),
        ("dayone.runs", ("generation",), -3, b.WRONG_ENVELOPE),
    ],
)  # fmt: skip
def test_the_other_topics_are_checked_as_well(topic: str, path: tuple[str, ...], value: object, reason: str) -> None:
    record = manifest() if topic == "dayone.runs" else other_records(1)[topic][-1]
    body = json.loads(record[1])
    place = body
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    fine = manifest() if topic == "dayone.runs" else other_records(2)[topic][-1]
    written = json.dumps(body).replace(json.dumps(HUGE), "1e999").encode()
    batch = DECODER.decode([batch_of(topic, [(b"k", written), fine])])
    assert [letter.reason for letter in batch.dead_letters] == [reason]
    assert batch.rows == 1


def test_a_manifest_of_another_product_is_refused_alone_as_it_is_among_others() -> None:
    key, value = manifest(product="other", seed=77)
    odd = key, value.replace(b'"seed":77', b'"seed":18446744073709551616')
    assert odd[1] != value
    for records in ([odd], [odd, manifest()], [odd, (b"k", b"{}")]):
        assert DECODER.decode([batch_of("dayone.runs", records)]).dead_letters[0].reason == b.WRONG_PROPERTY


def test_two_values_that_only_together_are_json_are_two_dead_letters() -> None:
    halves = [(b"k", b'{"a": [1'), (b"k", b"2]}"), *events(2)]
    batch = DECODER.decode([batch_of(EVENTS, halves)])
    assert [letter.reason for letter in batch.dead_letters] == [b.NOT_JSON] * 2
    assert batch.rows == 2


def test_what_examine_overlooks_is_found_by_halving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DECODER, "examine", lambda topic, value: None)
    records = events(40)
    records[17] = (b"k", b"nonsense")
    batch = DECODER.decode([batch_of(EVENTS, records)])
    assert [letter.offset for letter in batch.dead_letters] == [17]
    assert batch.rows == 39


def test_messages_below_the_positions_are_skipped() -> None:
    batch = DECODER.decode([batch_of(EVENTS, events(8))], {(EVENTS, 0): 5})
    assert batch.tables["events"].column("topic_offset").to_pylist() == [5, 6, 7]
    assert (batch.skipped, batch.messages) == (5, 8)
    nothing = DECODER.decode([batch_of(EVENTS, events(8))], {(EVENTS, 0): 50})
    assert (nothing.rows, nothing.skipped, nothing.next_offsets) == (0, 8, {})


def test_a_row_that_comes_twice_in_a_batch_is_taken_once_and_another_run_is_another_row() -> None:
    twice = session_events(1) + session_events(1) + session_events(1, run="tiny-bbbbbbbbbb")
    batch = DECODER.decode([batch_of(EVENTS, twice)])
    assert batch.tables["events"].num_rows == 2 * len(STEPS)
    assert batch.duplicates == {"events": len(STEPS)}


def test_of_a_user_the_latest_state_is_taken() -> None:
    def user(device: str, time: str) -> tuple[bytes, bytes]:
        data = {"signed_up": "2026-01-01T00:00:00Z", "device": device}
        return b"u1", message("dayone.user", "u1", "u1", data, time=time)

    days = {"old": "2026-01-01", "new": "2026-01-03", "mid": "2026-01-02"}
    records = [user(device, f"{day}T00:00:00Z") for device, day in days.items()]
    batch = DECODER.decode([batch_of(USERS, records)])
    assert batch.tables["users"].column("device").to_pylist() == ["new"]
    assert batch.duplicates == {"users": 2}


def test_times_with_another_zone_become_utc() -> None:
    row = one(good(time="2026-01-02T03:04:05+02:00")).tables["events"].to_pylist()[0]
    assert row["time"].isoformat() == "2026-01-02T01:04:05+00:00"


def mutated() -> st.SearchStrategy[bytes | None]:
    """Bytes of every kind: noise, JSON, envelopes with something wrong, and good events with a flipped byte."""
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    data = st.dictionaries(st.sampled_from(["product_id", "price", "position", "x", "\0"]), scalars, max_size=4)
    idents = st.sampled_from(["u1-0.1", "u1-0.02", "a", "u1-0.99999999999"])
    moments = st.sampled_from(
        [
            "2026-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.123456789Z", "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00+01",
        ]
    )  # fmt: skip
    fields = st.fixed_dictionaries(
        {"kind": st.sampled_from([*STEPS, "odd"]), "ident": idents, "user": st.text(max_size=4), "data": data},
        optional={
            "session": st.sampled_from(["u1-0", "", "a"]), "time": moments,
            "generation": st.integers(-(2**70), 2**70), "synthetic": scalars,
        },
    )  # fmt: skip
    envelopes = fields.map(lambda f: message(**f))
    flipped = st.builds(
        lambda raw, at, byte: raw[: at % len(raw)] + bytes([byte]) + raw[at % len(raw) + 1 :],
        st.sampled_from([record[1] for record in events(8)]), st.integers(0, 1000), st.integers(0, 255),
    )  # fmt: skip
    return st.none() | st.binary(max_size=40) | envelopes | flipped


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(mutated(), min_size=1, max_size=6))
def test_any_bytes_are_a_row_or_a_dead_letter_and_never_an_exception(values: list[bytes | None]) -> None:
    count = len(values)
    batch = DECODER.decode([b.Messages(EVENTS, [0] * count, range(count), [None] * count, values)])
    duplicates = sum(batch.duplicates.values())
    assert batch.rows + duplicates + len(batch.dead_letters) == count
    assert {letter.reason for letter in batch.dead_letters} <= set(b.REASONS)
    assert all(letter.value == values[letter.offset] for letter in batch.dead_letters)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([SESSIONS, USERS, LABELS, CONVERSATIONS, "dayone.runs"]),
    st.lists(st.binary(max_size=30) | st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=5),
)
def test_any_bytes_on_the_other_topics_too(topic: str, changes: list[Any]) -> None:
    fine = manifest()[1] if topic == "dayone.runs" else other_records(1)[topic][-1][1]
    values = [
        change if isinstance(change, bytes)
        else fine[: change[0] % len(fine)] + bytes([change[1]]) + fine[change[0] % len(fine) + 1 :]
        for change in changes
    ]  # fmt: skip
    count = len(values)
    batch = DECODER.decode([b.Messages(topic, [0] * count, range(count), [None] * count, values)])
    assert batch.rows + sum(batch.duplicates.values()) + len(batch.dead_letters) + batch.foreign == count
