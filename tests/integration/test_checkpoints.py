"""A run that goes on from a checkpoint is the run that was never interrupted, and one that cannot be used does no harm.

The same digest as in `test_determinism`, with checkpoints written as often as can be, and every way in which the topic
may hold something else than a whole, true checkpoint of this run.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import signal
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personas.population import DAY_MS
from personas.topics import CHECKPOINTS
from simulator import checkpoint_records
from simulator.arrivals import BREAK_MS, NEVER
from simulator.checkpoint import pack_state, put_state, state_of, unpack_state
from simulator.checkpointer import Checkpointer, CheckpointPlan, place_of
from simulator.clock import FakeClock
from simulator.engine import Engine
from simulator.producer import MemoryProducer, Record
from simulator.simulation import Simulation
from simulator.steering import ARRIVAL_RATE
from tests.integration.program import assert_same, expected, free_port, of_messages, of_topics, sent, until
from tests.integration.test_determinism import (
    DAYS,
    NO_SHRINKING,
    OFTEN,
    RARER,
    Pilot,
    crashed,
    digest,
    play,
    whole,
)
from tests.nursery import Starter
from tests.runs import PACKS, simulation_of

Records = list[Record]


@lru_cache
def written(name: str = "shop", shard: str = "0/1") -> tuple[Record, ...]:
    """Everything that a run sent which was stopped late, with many checkpoints."""
    stop = Pilot(stop_at=round(DAYS * DAY_MS * 0.9))
    return tuple(play(name, shard=shard, batch=60, pilot=stop, checkpoints=OFTEN)[0])


def heads(records: Records) -> Records:
    return [record for record in records if record.topic == CHECKPOINTS and record.key.endswith(b"/head")]


def goes_on(records: Records, name: str = "shop", **options: object) -> tuple[int, bool]:
    """Where the simulation stood when the run went on from these records, and whether it ended as it should."""
    begun: list[int] = []
    original = Simulation.advance

    def watched(simulation: Simulation, until: int) -> int:
        begun.append(simulation.played_until)
        return original(simulation, until)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Simulation, "advance", watched)
        again = play(name, held=records, checkpoints=OFTEN, **options)[0]  # type: ignore[arg-type]
    return begun[0], digest(again) == digest(whole(name))


@pytest.mark.parametrize("name", PACKS)
def test_a_run_goes_on_from_its_newest_checkpoint(name: str) -> None:
    records = list(written(name))
    assert len(heads(records)) >= 3
    begun, same = goes_on(records, name)
    assert same
    assert begun > DAYS * DAY_MS * 0.7, "not played from the beginning"


def test_what_the_engine_is_after_a_checkpoint_is_what_it_was() -> None:
    """Every array of the engine that has a row per user, found by looking: one that is new must be in the state."""
    first, second = (simulation_of("shop", users=400) for _ in range(2))
    first.engine.play(9 * DAY_MS)
    put_state(second.engine, unpack_state(*pack_state(state_of(first.engine, 9 * DAY_MS))))
    gone = first.engine.next_start >= NEVER
    assert 0 < gone.sum() < 400 and (first.engine.sessions == 0).any()

    def by_user(engine: Engine) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
        found = {f"engine.{name}": value for name, value in vars(engine).items()}
        found |= {f"effects.{name}": value for name, value in vars(engine.effects).items()}
        found |= {f"problems.{name}": value for name, value in vars(engine.problems).items()}
        return {name: each for name, each in found.items() if isinstance(each, np.ndarray) and len(each) == 400}

    was, is_now = by_user(first.engine), by_user(second.engine)
    assert {"engine.next_start", "effects.seen"} <= was.keys() == is_now.keys()
    for name, values in was.items():
        rows = slice(None) if name == "engine.next_start" else ~gone
        if name == "engine.ended":  # of the past, it is kept as long as it holds the next session back
            rows = ~gone & (values + BREAK_MS > 9 * DAY_MS)
            assert (is_now[name][~rows] == 0).all()
        np.testing.assert_array_equal(values[rows], is_now[name][rows], err_msg=name)
    for each in (first, second):
        each.engine.play(9 * DAY_MS)
    ours, theirs = (each.engine.play(12 * DAY_MS) for each in (first, second))
    for name, column in ours.events.items():
        np.testing.assert_array_equal(column, theirs.events[name], err_msg=name)


@settings(
    max_examples=12, deadline=None, derandomize=True, phases=NO_SHRINKING, suppress_health_check=list(HealthCheck)
)  # fmt: skip
@given(cuts=st.lists(st.floats(0.3, 1), min_size=16, max_size=16), log=st.floats(0, 1))
def test_whatever_is_left_of_topics_and_checkpoints(cuts: list[float], log: float) -> None:
    """Every partition loses another part of its end, and so does the topic of checkpoints, in the midst of one."""
    places: dict[tuple[str, int], float] = {}
    left = crashed(
        list(written()), lambda topic, partition, count: round(
            count * places.setdefault((topic, partition), cuts[len(places) % len(cuts)])
        )
    )  # fmt: skip
    kept = round(log * sum(record.topic == CHECKPOINTS for record in left))
    ends = [record for record in left if record.topic == CHECKPOINTS][:kept]
    assert goes_on([*(record for record in left if record.topic != CHECKPOINTS), *ends])[1]


def test_steering_and_checkpoints() -> None:
    """A run that is steered, stopped, and goes on from a checkpoint after, between and before its changes."""
    changes = [(5 * DAY_MS, 8.0, 1.0), (round(5.4 * DAY_MS), 8.0, 3.0), (round(5.8 * DAY_MS), 1.0, 0.5)]
    steered, run = play("shop", batch=60, pilot=Pilot(changes))
    stopped = play("shop", batch=60, pilot=Pilot(changes, stop_at=round(6.6 * DAY_MS)), checkpoints=OFTEN)[0]
    for share in (1.0, 0.97, 0.9, 0.8):
        left = crashed(stopped, lambda topic, partition, count, share=share: round(count * share))  # type: ignore[misc]
        resumed, second = play("shop", held=left, batch=60, checkpoints=OFTEN)
        assert second.changes == run.changes
        assert digest(resumed) == digest(steered)
        assert second.simulation.played_events < 0.9 * run.simulation.played_events, "a checkpoint was used"


def test_live_runs_have_them_too() -> None:
    """Live, crashed, live again from a checkpoint, and played to the end: as if played to the end at once. Steered
    while it is live, too: the windows of a live run end where the clock happens to stand."""

    def stop(days: float, *changes: tuple[int, float, float]) -> Pilot:
        return Pilot(list(changes), stop_at=round(days * DAY_MS))

    first, run = play("shop", days=2.0, live=True, pilot=stop(4.0), checkpoints=OFTEN)
    assert run.state == "stopped" and run.simulation.played_until > 3.9 * DAY_MS and len(heads(first)) >= 2
    left = crashed(first, lambda topic, partition, count: round(0.95 * count))
    second, again = play("shop", days=2.0, live=True, pilot=stop(5.5), held=left, checkpoints=OFTEN)
    _, plain = play("shop", days=2.0, live=True, pilot=stop(5.5), held=left)
    assert again.simulation.played_events < 0.8 * plain.simulation.played_events, "a checkpoint was used"
    assert digest(play("shop", held=second, checkpoints=OFTEN)[0]) == digest(whole("shop"))

    steered, run = play("shop", days=1.0, live=True, pilot=stop(6.0, (3 * DAY_MS, 9.0, 2.0)), checkpoints=OFTEN)
    left = crashed(steered, lambda topic, partition, count: round(0.97 * count))
    through, end = play("shop", held=left, days=6.5, checkpoints=OFTEN)
    without, plain = play("shop", held=left, days=6.5)
    assert end.simulation.played_events < 0.8 * plain.simulation.played_events and end.changes == run.changes
    assert digest(through) == digest(without) != digest(play("shop", days=6.5)[0])


def test_none_is_taken_where_the_clock_stands_still() -> None:
    """A live run that stands is steered at the instant at which its last window ended: its state is ahead of it."""
    simulation, producer = simulation_of("shop", users=60), MemoryProducer()
    checkpointer = Checkpointer(simulation, producer, place_of(simulation), CheckpointPlan(10**9), FakeClock())
    simulation.advance(3 * DAY_MS)
    checkpointer.after_window(())
    checkpointer.plan = CheckpointPlan(1, share=1e9)
    producer.send("bytes", [b"."], [b""], [0])
    simulation.change_arrival_rate(2.0)
    for _ in range(2):
        simulation.advance(3 * DAY_MS)
        checkpointer.after_window(())
    assert checkpointer.count == 0
    for day in (4, 5):
        simulation.advance(day * DAY_MS)
        checkpointer.after_window(((3 * DAY_MS, ARRIVAL_RATE, 2.0),))
    (head,) = heads(producer.records)
    assert json.loads(head.value)["data"]["instant"] == 4 * DAY_MS


def test_shards_have_their_own() -> None:
    four: Records = []
    for index in range(4):
        four += written(shard=f"{index}/4")
    ended: Records = []
    for index in range(4):
        ended += play("shop", held=four, shard=f"{index}/4", checkpoints=OFTEN)[0][len(four) :]
    assert digest([*four, *ended]) == digest(whole("shop"))
    assert goes_on(four)[1], "one shard goes on with what four left, from the beginning"


def spoiled(change: Callable[[Record], Record | None], which: Callable[[Record], bool]) -> Records:
    """The records with some of the checkpoints' changed, or left out."""
    records = [change(r) if r.topic == CHECKPOINTS and which(r) else r for r in written()]
    return [record for record in records if record is not None]


def is_part(record: Record) -> bool:
    return not record.key.endswith(b"/head")


def everything(record: Record) -> bool:
    return True


def value(change: Callable[[bytes], bytes]) -> Callable[[Record], Record]:
    return lambda record: dataclasses.replace(record, value=change(record.value))


def swap(old: bytes, new: bytes) -> Callable[[Record], Record]:
    return value(lambda text: text.replace(old, new))


SPOILED = {
    "cut off": (value(lambda text: text[: len(text) // 2]), everything, "cannot be read"),
    "no JSON": (value(lambda text: b"\x00" + text), everything, "cannot be read"),
    "parts lost": (lambda record: None, is_part, "of its 1 parts are missing"),
    "another program": (swap(b'"layout":"', b'"layout":"0'), everything, "another version"),
    "state damaged": (swap(b'"content":"KLUv', b'"content":"KLUw'), is_part, "sum is wrong"),
    "head damaged": (swap(b'"instant":', b'"instant":1'), everything, "sum is wrong"),
    "other steering": (swap(b'"steered":[]', b'"steered":[[5,"set_problem_rate",2.0]]'), everything, "steered"),
    "other sum": (swap(b'"digest":"', b'"digest":"0'), everything, "sum is wrong"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_checkpoint_that_is_spoiled_is_passed_over(how: str, caplog: pytest.LogCaptureFixture) -> None:
    change, which, reason = SPOILED[how]
    with caplog.at_level(logging.INFO, "dayone.simulator"):
        begun, same = goes_on(spoiled(change, which))  # type: ignore[arg-type]
    assert same and begun == 0
    assert any(re.search(reason, message) for message in caplog.messages), caplog.messages


def test_the_one_before_is_used_where_the_newest_is_spoiled() -> None:
    newest = heads(list(written()))[-1].key
    begun, same = goes_on(spoiled(lambda record: None, lambda record: record.key == newest))
    assert same and begun > DAYS * DAY_MS / 2


def test_ahead_of_the_topics(caplog: pytest.LogCaptureFixture) -> None:
    left = crashed(list(written()), lambda topic, partition, count: count // 50)
    with caplog.at_level(logging.INFO, "dayone.simulator"):
        begun, same = goes_on(left)
    assert same and begun == 0
    assert "it is ahead of what dayone.shop." in caplog.text


def test_compaction_leaves_a_whole_one() -> None:
    """Only the last record of each key is left, and the last checkpoint broke off before its head."""
    records = [record for record in written() if record.topic == CHECKPOINTS][:-1]
    latest = {record.key: record for record in records}
    kept = [record for record in records if latest[record.key] is record]
    assert len(heads(kept)) == checkpoint_records.SLOTS
    begun, same = goes_on([*(record for record in written() if record.topic != CHECKPOINTS), *kept])
    assert same and begun > DAYS * DAY_MS / 2


def test_in_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_records, "PART_BYTES", 200)  # when it is written, and so its size, is up to time
    records = play("shop", batch=60, pilot=Pilot(stop_at=round(DAYS * DAY_MS * 0.9)), checkpoints=RARER)[0]
    assert sum(record.topic == CHECKPOINTS for record in records) >= 4 * len(heads(records)) > 0
    begun, same = goes_on(records)
    assert same and begun > DAYS * DAY_MS / 2


@pytest.mark.kafka
def test_a_killed_process_goes_on_from_its_checkpoint(dayone: Starter, servers: str) -> None:
    """With `kill -9`, a broker, and the topic of the checkpoints as it really is."""
    users, days, port = 300, 20, free_port()
    command = ("simulate", "shop", "--users", users, "--days", days, "--bootstrap-servers", servers)
    env = {"DAYONE_SIMULATOR_BATCH_EVENTS": "500", "DAYONE_SIMULATOR_CHECKPOINT_EVENTS": "1000"}
    wanted = expected(users, days)
    first = dayone(*command, "--metrics-port", port, env=env)
    until(lambda: sent(port) > len(wanted["events"]) * 0.6, first)
    first.signal(signal.SIGKILL)
    first.wait()
    second = dayone(*command, "--metrics-port", 0, env=env)
    assert second.wait() == 0, second.err
    assert "played again from 2026-01-" in second.err, "not from its beginning"
    assert_same(of_messages(of_topics(servers)), wanted)
    third = dayone(*command, "--metrics-port", 0, env=env)
    assert third.wait() == 0, third.err
    assert "was completed before: the topics hold all of it" in third.out
