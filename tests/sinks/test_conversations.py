"""Conversations from the topic to the table: every field, each once, and what is none of them is a dead letter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from personas.topics import conversations_topic
from sinks import batch as b
from sinks.batch import Messages
from sinks.ingest import Decoder
from sinks.store import MEMORY, Store
from sinks.summary import summarize
from sinks.vocabulary import vocabulary_of
from tests.runs import pack_of, records_of, store_records, stored

TOPIC = conversations_topic("shop")


def values() -> list[bytes]:
    return [r.value for r in records_of("shop", users=200, days=8, problem_rate=8.0) if r.topic == TOPIC]


def test_every_conversation_is_a_row_with_all_that_was_said() -> None:
    store, run = stored("shop", users=200, days=8, problem_rate=8.0)
    rows = {row["conversation_id"]: row for row in store.query("FROM conversations").to_pylist()}
    sent = [json.loads(value) for value in values()]
    assert len(rows) == len(sent) > 30
    for message in sent:
        row, data = rows[message["id"]], message["data"]
        for name in ("parameters", "turns", "audit", "rejected"):
            assert json.loads(row[name]) == data[name]
        for name in ("sequence", "reason", "language", "outcome", "passed"):
            assert row[name] == data[name]
        assert (row["user_id"], row["session_id"], row["run_id"]) == (message["subject"], message["sessionid"], run)
        assert row["time"].isoformat(timespec="milliseconds") == message["time"].replace("Z", "+00:00")
        assert row["ended"].isoformat(timespec="milliseconds") == data["ended"].replace("Z", "+00:00")
    assert summarize(store).conversations == len(sent)
    (counted,) = store.query("SELECT count(*) AS n, count(DISTINCT conversation_id) AS talks FROM messages").to_pylist()
    assert counted == {"n": sum(len(m["data"]["turns"]) for m in sent), "talks": len(sent)}
    late = store.query("SELECT max(m.time) = any_value(c.ended) AS same FROM messages AS m JOIN conversations AS c "
                       "USING (conversation_id) GROUP BY conversation_id").to_pylist()  # fmt: skip
    assert all(row["same"] for row in late)


def test_help_texts_are_those_of_the_pack() -> None:
    store, _ = stored("shop", users=200, days=8, problem_rate=8.0)
    help_ = pack_of("shop").help
    assert help_ is not None
    rows = {row["help_id"]: row for row in store.query("FROM help_texts").to_pylist()}
    assert set(rows) == set(help_.texts)
    assert [id_ for id_, row in rows.items() if row["hands_over"]] == [help_.hand_over]
    assert all(" ".join(help_.texts[id_].text) == row["text"] for id_, row in rows.items())


def test_what_comes_again_is_stored_once() -> None:
    store = Store.open(MEMORY)
    records = [r for r in records_of("shop", users=200, days=8, problem_rate=8.0) if r.topic == TOPIC]
    store_records(store, pack_of("shop"), records)
    store_records(store, pack_of("shop"), records, first_offset=10_000)
    (row,) = store.query("SELECT count(*) AS n FROM conversations").to_pylist()
    assert row["n"] == len(records)


def change(path: str, value: Any) -> bytes:
    message = json.loads(values()[0])
    *way, last = path.split(".")
    place = message
    for name in way:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    return json.dumps(message).encode()


WRONG = [
    ("data.outcome", "forgotten", b.WRONG_PROPERTY), ("data.turns.0.role", "system", b.WRONG_PROPERTY),
    ("data.ended", "soon", b.WRONG_PROPERTY), ("data.sequence", 2**40, b.WRONG_PROPERTY),
    ("data.audit.polite", True, b.WRONG_PROPERTY), ("sessionid", None, b.WRONG_ENVELOPE),
    ("type", "dayone.session", b.UNKNOWN_EVENT_TYPE), ("data.turns.0.seconds", "late", b.WRONG_PROPERTY),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "reason"), WRONG, ids=[row[0] for row in WRONG])
def test_a_bad_conversation_is_a_dead_letter_and_its_neighbours_are_rows(path: str, value: Any, reason: str) -> None:
    sent = [values()[1], change(path, value), values()[2]]
    places: list[int] = [0, 1, 2]
    batch = Decoder(vocabulary_of(pack_of("shop"))).decode([Messages(TOPIC, [0] * 3, places, [b"u"] * 3, sent)])
    assert batch.tables["conversations"].num_rows == 2
    assert [(letter.reason, letter.offset) for letter in batch.dead_letters] == [(reason, 1)]
