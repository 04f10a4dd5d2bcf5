"""Gathering: when a batch is due, that it is never larger than it may be, and that every message is in exactly one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from personas.topics import RUNS
from sinks.batch import Batch, Partition
from sinks.gather import Bounds, Gatherer
from sinks.ingest import Decoder
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import EVENTS, SESSIONS, Record, batch_of, events, everything, manifest, tiny_pack

DECODER = Decoder(vocabulary_of(tiny_pack()))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def gatherer(rows: int = 10, seconds: float = 1.0, fetch: int = 8, **bounds: int) -> tuple[Gatherer, Clock]:
    clock = Clock()
    return Gatherer(DECODER, Bounds(rows, seconds, fetch, **bounds), clock), clock


def offsets(batch: Batch) -> list[int]:
    return [int(offset) for offset in batch.tables["events"].column("topic_offset").to_pylist()]


def test_a_full_batch_has_exactly_so_many_rows_and_its_own_positions() -> None:
    gathering, _ = gatherer(rows=10)
    read: dict[Partition, int] = {}
    fetches = [batch_of(EVENTS, events(24)[first : first + 8], first) for first in (0, 8, 16)]
    batches = [batch for fetch in fetches for batch in gathering.add([fetch], read)]
    assert [offsets(batch) for batch in batches] == [list(range(10)), list(range(10, 20))]
    assert [batch.next_offsets for batch in batches] == [{(EVENTS, 0): 10}, {(EVENTS, 0): 20}]
    assert [offsets(batch) for batch in gathering.take()] == [[20, 21, 22, 23]]
    assert read == {(EVENTS, 0): 24}
    assert list(gathering.take()) == []


def test_a_row_that_comes_twice_in_a_batch_is_there_once() -> None:
    gathering, _ = gatherer(rows=100)
    for first in (0, 8):
        assert not list(gathering.add([batch_of(EVENTS, events(8), first)], {}))
    [batch] = gathering.take()
    assert (offsets(batch), batch.duplicates, batch.next_offsets) == (list(range(8)), {"events": 8}, {(EVENTS, 0): 16})


def test_dead_letters_leave_their_room_to_others() -> None:
    gathering, _ = gatherer(rows=10)
    records: list[Record] = [(b"k", b"bad"), *events(14)]
    batches = list(gathering.add([batch_of(EVENTS, records)], {}))
    assert [(offsets(batch), len(batch.dead_letters)) for batch in batches] == [(list(range(1, 11)), 1)]


def test_a_batch_waits_for_its_time_and_longer_while_more_is_waiting() -> None:
    gathering, clock = gatherer(rows=100)
    assert not gathering.due()
    assert not list(gathering.add([batch_of(EVENTS, events(3))], {}))
    assert not gathering.due()
    clock.now += 1.0
    assert gathering.due()
    assert not list(gathering.add([batch_of(EVENTS, events(8), 3)], {}))
    assert not gathering.due()
    clock.now += 4.0
    assert gathering.due()
    assert len(list(gathering.take())) == 1
    assert not gathering.due()


def test_the_end_of_a_run_is_not_kept_waiting() -> None:
    gathering, _ = gatherer(rows=100)
    assert not list(gathering.add([batch_of(RUNS, [manifest("started")])], {}))
    assert len(list(gathering.add([batch_of(RUNS, [manifest("completed")], 1)], {}))) == 1


def test_large_messages_and_large_dead_letters_make_a_batch_due() -> None:
    for records in (events(4), [(b"k", b"x" * 2000)]):
        gathering, _ = gatherer(rows=100, bytes=100)
        assert len(list(gathering.add([batch_of(EVENTS, records)], {}))) == 1


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.lists(st.integers(1, 12), max_size=9))
def test_every_message_is_in_exactly_one_batch_of_bounded_size(rows: int, fetches: list[int]) -> None:
    gathering, _ = gatherer(rows=rows)
    wanted = {topic: records[:40] for topic, records in everything(10)}
    read: dict[Partition, int] = {}
    batches: list[Batch] = []
    for size in fetches:
        given_now = [
            batch_of(topic, records[read.get((topic, 0), 0) :][:size], read.get((topic, 0), 0))
            for topic, records in wanted.items()
            if records[read.get((topic, 0), 0) :]
        ]
        batches += gathering.add(given_now, read)
    batches += gathering.take()
    for table, topic in (("events", EVENTS), ("sessions", SESSIONS)):
        parts = [batch.tables[table] for batch in batches if table in batch.tables]
        assert sum(part.num_rows for part in parts) == read.get((topic, 0), 0)
        assert all(part.num_rows <= rows for part in parts)
    assert sum(batch.messages for batch in batches) == sum(read.values())
    kept: dict[Partition, int] = {}
    for batch in batches:
        assert all(kept.get(place, 0) < after for place, after in batch.next_offsets.items())
        kept |= batch.next_offsets
    assert kept == read
