"""A dead letter as a value: its form on the topic and back, its name, what is counted and what is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personas.errors import SettingsError
from personas.letters import LETTER_HEADERS, ORIGIN_OFFSET, REPLAY_HEADERS, TRUNCATED, is_replay
from sinks.batch import KEPT_BYTES, REASONS, DeadLetter
from sinks.dead_letters.letter import (
    LETTER_BYTES,
    Letter,
    Mark,
    Place,
    Wanted,
    gathered,
    groups_of,
    letter_of,
    mark_of,
    moment_of,
    record_of,
    replayed_headers,
)

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
HEADERS = (("content-type", b"a/b"), ("reason", b"mine, not the sink's"), ("twice", b"\xff"), ("twice", None))


def dead(**change: object) -> DeadLetter:
    fields = {"topic": "dayone.shop.events", "partition": 2, "offset": 12, "reason": "not_json", "detail": "it is not",
              "key": b"u1", "value": b"\x00\xff nonsense", "headers": HEADERS}  # fmt: skip
    return DeadLetter(**(fields | change))  # type: ignore[arg-type]


def back(letter: DeadLetter) -> Letter:
    found = letter_of(*record_of(letter, "group", NOW))
    assert isinstance(found, Letter)
    return found


def test_a_letter_comes_back_from_its_record_whole() -> None:
    place = Place("dayone.shop.events", 2, 12)
    assert back(dead()) == Letter(
        place, "not_json", "it is not", NOW, b"u1", b"\x00\xff nonsense", HEADERS, "group", 11
    )  # fmt: skip


@given(
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=20),
    headers=st.lists(
        st.tuples(st.sampled_from([*LETTER_HEADERS, *REPLAY_HEADERS, "x"]), st.none() | st.binary(max_size=5))
    ).map(tuple),
    detail=st.text(max_size=600),
)
def test_whatever_a_message_holds_its_letter_keeps_it(key: bytes | None, value: bytes | None, headers: object,
                                                      detail: str) -> None:  # fmt: skip
    found = back(dead(key=key, value=value, headers=headers, detail=detail))
    assert (found.key, found.value, found.headers, found.cut) == (key, value, headers, ())


def test_every_header_of_the_contract_is_written_and_no_other() -> None:
    huge = dead(key=b"k" * 500_000, value=b"v" * 500_000, headers=(("h", b"h" * 100_000),))
    records = [record_of(huge, "g", NOW), record_of(dead(value=None, headers=()), "g", NOW)]
    assert {name for _, _, headers in records for name, _ in headers} == set(LETTER_HEADERS)


@pytest.mark.parametrize(
    ("change", "cut"),
    [
        ({"value": b"v" * (LETTER_BYTES + 1)}, ("value",)),
        ({"key": b"k" * (LETTER_BYTES + 1)}, ("key",)),
        ({"headers": (("h", b"h" * (LETTER_BYTES + 1)),)}, ("headers",)),
        ({"key": b"k" * 500_000, "value": b"v" * 500_000}, ("value", "key")),
    ],
)
def test_a_letter_too_large_for_a_topic_is_cut_and_says_what_of_it(
    change: dict[str, bytes], cut: tuple[str, ...]
) -> None:
    key, value, headers = record_of(dead(**change), "g", NOW)
    assert len(key or b"") + len(value or b"") + sum(len(each or b"") for _, each in headers) < LETTER_BYTES
    found = back(dead(**change))
    assert found.cut == cut
    assert found.value_bytes == len(change.get("value", b"\x00\xff nonsense"))
    assert len(found.value or b"") <= KEPT_BYTES


def test_records_of_others_are_no_letters() -> None:
    assert letter_of(b"k", b"v", ()) is None
    assert letter_of(b"k", b"v", (("origin-topic", b"t"), ("origin-partition", b"x"), ("origin-offset", b"1"))) is None


def test_a_letter_that_is_on_the_topic_twice_is_one_and_its_mark_counts() -> None:
    first, again, other = dead(), dead(detail="the later"), dead(offset=9, topic="dayone.shop.users")
    found = gathered(
        letter_of(*record)  # type: ignore[misc]
        for record in (
            record_of(first, "g", NOW), record_of(other, "g", NOW), mark_of(Place("dayone.shop.events", 2, 12), NOW),
            record_of(again, "g", NOW),
        )
    )  # fmt: skip
    assert [(str(letter.place), letter.detail, letter.replayed) for letter in found] == [
        ("dayone.shop.events/2/12", "the later", NOW), ("dayone.shop.users/2/9", "it is not", None),
    ]  # fmt: skip


def test_headers_that_anybody_wrote_are_no_numbers_of_ours() -> None:
    """Python refuses to read more than 4300 digits: one such record must not hide all letters of its topic."""
    key, value, headers = record_of(dead(), "group", NOW)
    many = ("9" * 5000).encode()
    changed = tuple((name, many if name == ORIGIN_OFFSET else text) for name, text in headers)
    assert letter_of(key, value, changed) is None
    told = letter_of(key, value, (*headers, (TRUNCATED, many)))
    assert isinstance(told, Letter) and told.value_bytes == len(value or b"")


def test_a_mark_says_what_was_replayed_and_when() -> None:
    place = Place("dayone.shop.events", 0, 7)
    assert letter_of(*mark_of(place, NOW)) == Mark(place, NOW)


def test_a_replayed_message_has_its_own_headers_and_says_which_letter_it_is() -> None:
    headers = replayed_headers(back(dead()), mended=True)
    assert headers == (*HEADERS, ("replay-of", b"dayone.shop.events/2/12"), ("mended", b"true"))
    assert is_replay(headers) and not is_replay(HEADERS) and not is_replay(None)
    again = back(dead(headers=headers, offset=99))
    assert replayed_headers(again, mended=False) == (*HEADERS, ("replay-of", b"dayone.shop.events/2/99"))


@pytest.mark.parametrize(
    "text", ["", "events", "a/1", "a/1/2/3", "a/-1/2", "a/1/x", "/1/2", "a/1/²", f"a/1/{'9' * 5000}"]
)
def test_a_name_that_names_no_letter_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected <topic>/<partition>/<offset>"):
        Place.parse(text)


def test_letters_are_counted_by_topic_and_reason() -> None:
    letters = [back(dead(offset=n, reason=REASONS[n % 2])) for n in range(5)]
    groups = groups_of(letters)
    assert [(group.reason, group.letters, group.replayed, group.first, group.last) for group in groups] == [
        ("not_json", 3, 0, NOW, NOW), ("not_utf8", 2, 0, NOW, NOW),
    ]  # fmt: skip


def test_what_is_asked_for() -> None:
    letter = back(dead())
    for good in (
        Wanted(), Wanted("dayone.shop.events"), Wanted("dayone.shop.events.dlq"), Wanted(reason="not_json"),
        Wanted(since=NOW), Wanted(places=frozenset([letter.place])),
    ):  # fmt: skip
        assert good(letter)
    for bad in (
        Wanted("dayone.shop.users"), Wanted(reason="not_utf8"), Wanted(since=NOW + timedelta(seconds=1)),
        Wanted(places=frozenset()),
    ):  # fmt: skip
        assert not bad(letter)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30m", NOW - timedelta(minutes=30)), ("7d", NOW - timedelta(days=7)), ("90s", NOW - timedelta(seconds=90)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02T03:00+02:00", datetime(2026, 1, 2, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_since_is_a_span_or_a_moment(text: str, moment: datetime) -> None:
    assert moment_of(text, lambda: NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "m", "-3d", "99999999999999d", "1e3s"])
def test_since_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--since"):
        moment_of(text, lambda: NOW)
