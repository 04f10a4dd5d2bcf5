"""Traces that are read from messages are those that a recorder took while the sessions were played."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from personas.population import DAY_MS
from simulator.behaviour.reading import read_traces
from simulator.behaviour.traces import Choices, Traces
from simulator.producer import MemoryProducer
from simulator.teach.recorder import Recorder
from simulator.world import World
from tests.runs import PACKS, pack_of, simulation_of

DAYS = 5


def sent_and_recorded(name: str, rate: float = 10.0) -> tuple[list[dict[str, Any]], Traces, World, int]:
    """The messages of a run (those of whole sessions), and what a recorder saw of it."""
    producer = MemoryProducer()
    simulation = simulation_of(name, users=120, problem_rate=rate, producer=producer)
    recorder = Recorder(simulation.engine)
    played = []
    play = simulation.engine.play
    simulation.engine.play = lambda until: played.append(play(until)) or played[-1]  # type: ignore[method-assign,func-returns-value]
    simulation.advance(DAYS * DAY_MS)
    simulation.engine.play = play  # type: ignore[method-assign]
    for sequence in simulation.sequences:  # what ends after the last day, too
        simulation._send(sequence, sequence.due(10_000 * DAY_MS))
    messages = [json.loads(record.value) for record in producer.records]
    return messages, recorder.take(played[0]), simulation.engine.world, len(simulation.behaviour.appeal)


def in_order(traces: Traces, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The decisions as sorted rows; floats to two digits."""
    rows = zip(*(np.round(getattr(traces, name).astype(np.float64), 2).tolist() for name in columns), strict=True)
    return sorted(rows)


def picked(choices: Choices) -> list[tuple[int, ...]]:
    """The places and items that were chosen, and how many of those shown were known."""
    item = choices.shown[np.arange(len(choices)), choices.place]
    return sorted(zip(choices.place.tolist(), item.tolist(), choices.known.sum(axis=1).tolist(), strict=True))


@pytest.mark.parametrize("name", PACKS)
def test_what_is_read_is_what_was_recorded(name: str) -> None:
    messages, recorded, world, levels = sent_and_recorded(name)
    found = read_traces(reversed(messages), world, levels)
    assert (found.unlabelled, found.unlawful) == (0, 0)
    traces = found.traces
    assert (len(traces), traces.sessions) == (len(recorded), recorded.sessions)
    assert recorded.problem.max() >= 0, "problems are among them"
    columns = ("persona", "intent", "situation", "last", "problem", "reached", "events", "focus", "level", "event")
    assert in_order(traces, columns) == in_order(recorded, columns)
    # the time after the last event is told by nothing that comes; loading times that no event tells stay in the others
    unknown = np.isnan(traces.dwell).sum() - np.isnan(recorded.dwell).sum()
    assert 0 < unknown <= traces.sessions
    assert abs(np.nanmean(traces.dwell) / np.nanmean(recorded.dwell) - 1) < 0.1
    logged = any("slate.items" in (prop.source or "") for event in pack_of(name).product.events.values()
                 for prop in event.properties.values())  # fmt: skip
    if logged:
        chosen = [picked(traces.choices), picked(recorded.choices)]
        assert chosen[0] == chosen[1] and len(traces.choices) > 3


def test_sessions_without_labels_or_against_the_rules_are_left_out_and_counted() -> None:
    messages, recorded, world, levels = sent_and_recorded("shop")
    sessions = sorted({each["sessionid"] for each in messages if "sessionid" in each})
    without = [each for each in messages if each["type"] != "dayone.label.session" or each["sessionid"] != sessions[0]]
    found = read_traces(without, world, levels)
    assert (found.unlabelled, found.unlawful, found.traces.sessions) == (1, 0, recorded.sessions - 1)
    goal = "order_completed"
    wrong = [each | {"type": goal} if each.get("id") == f"{sessions[0]}.0" else each for each in messages]
    found = read_traces(wrong, world, levels)
    assert (found.unlabelled, found.unlawful, found.traces.sessions) == (0, 1, recorded.sessions - 1)
    assert read_traces([], world, levels).traces.sessions == 0
