"""Traces: what was decided, with everything that a Behaviour may look at; they come back from a file as they were."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from personas.errors import StudentError
from personas.population import DAY_MS
from simulator.behaviour.arrays import load_arrays, save_arrays
from simulator.behaviour.traces import Traces, legal_moves, load_traces, no_traces, save_traces, tiredness
from simulator.engine import Engine, Played
from simulator.teach.recorder import Recorder
from tests.runs import PACKS, pack_of, simulation_of

DAYS = 6


@lru_cache
def recorded(name: str) -> tuple[Engine, Traces, Played]:
    engine = simulation_of(name, users=200, problem_rate=10.0).engine
    recorder = Recorder(engine)
    played = engine.play(DAYS * DAY_MS)
    return engine, recorder.take(played), played


@pytest.mark.parametrize("name", PACKS)
def test_every_decision_is_recorded_and_looking_on_changes_nothing(name: str) -> None:
    engine, traces, played = recorded(name)
    unwatched = simulation_of(name, users=200, problem_rate=10.0).engine.play(DAYS * DAY_MS)
    assert all((played.events[column] == unwatched.events[column]).all() for column in played.events)
    events = traces.event < len(engine.world.item)
    assert traces.sessions == len(played.sessions["user"])
    assert events.sum() == len(played.events["event"])
    assert legal_moves(traces, engine.world.legal)[np.arange(len(traces)), traces.event].all()
    lengths = np.bincount(traces.session[events])
    assert sorted(lengths.tolist()) == sorted(played.sessions["events"].tolist())


@pytest.mark.parametrize("name", PACKS)
def test_choices_and_times_are_those_that_were_played(name: str) -> None:
    engine, traces, played = recorded(name)
    chosen = traces.choices.shown[np.arange(len(traces.choices)), traces.choices.place]
    of_slate = played.events["position"] > 0
    assert (chosen >= 0).all() and sorted(chosen.tolist()) == sorted(played.events["item"][of_slate].tolist())
    assert (np.diff(traces.choices.row) > 0).all()
    for event in np.unique(traces.event[~np.isnan(traces.dwell)]).tolist():
        dwell = traces.dwell[traces.event == event]
        low, high = engine.behaviour.dwell[event][[0, -1]]
        assert np.nanmin(dwell) >= min(low, 0.001) - 0.002 and np.nanmax(dwell) <= high + 0.002
    first = traces.events == 0
    assert (traces.last[first] == len(engine.world.item)).all() and not traces.reached[first].any()
    assert first.sum() == traces.sessions and (tiredness(traces)[first] == 0).all()


@pytest.mark.parametrize("name", PACKS)
def test_traces_do_not_depend_on_how_a_run_is_cut(name: str) -> None:
    _, whole, _ = recorded(name)
    engine = simulation_of(name, users=200, problem_rate=10.0).engine
    recorder = Recorder(engine)
    parts = [recorder.take(engine.play(round(days * DAY_MS))) for days in (1.5, 1.5, 4, DAYS)]
    joined = Traces.join(parts)
    assert (len(joined), joined.sessions, len(joined.choices)) == (len(whole), whole.sessions, len(whole.choices))
    for column in ("event", "situation", "dwell", "patience"):
        one, other = np.sort(getattr(joined, column)), np.sort(getattr(whole, column))
        assert np.array_equal(one, other, equal_nan=column == "dwell")
    every = joined.choices.row
    assert (joined.event[every] < len(engine.world.item)).all()


def test_some_sessions_and_the_rest_are_all_of_them() -> None:
    _, traces, _ = recorded("shop")
    keep = np.arange(traces.sessions) % 3 == 0
    some, rest = traces.of_sessions(keep), traces.of_sessions(~keep)
    assert (some.sessions, rest.sessions) == (keep.sum(), (~keep).sum())
    assert len(some) + len(rest) == len(traces) and len(some.choices) + len(rest.choices) == len(traces.choices)
    of_choice = np.isin(some.event[some.choices.row], traces.event[traces.choices.row])
    assert len(some.choices) and of_choice.all()
    again = Traces.join([some, no_traces(pack_of("shop"))])
    assert again.fingerprint == some.fingerprint != rest.fingerprint


def test_traces_come_back_from_a_file_the_same_bytes_each_time(tmp_path: Path) -> None:
    _, traces, _ = recorded("shop")
    pack = pack_of("shop")
    for name in ("a.npz", "b.npz"):
        save_traces(tmp_path / name, traces, pack)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = load_traces(tmp_path / "a.npz", pack)
    assert again.fingerprint == traces.fingerprint
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", "b.npz"}


def test_traces_of_another_pack_and_damaged_files_are_refused_with_words(tmp_path: Path) -> None:
    _, traces, _ = recorded("shop")
    pack, path = pack_of("shop"), tmp_path / "traces.npz"
    save_traces(path, traces, pack)
    other = replace(pack, product=pack.product.model_copy(update={"title": "Another shop"}))
    with pytest.raises(StudentError, match="only the very pack"):
        load_traces(path, other)
    with pytest.raises(StudentError, match="there is no file"):
        load_traces(tmp_path / "none.npz", pack)
    arrays = load_arrays(path)
    del arrays["patience"]
    save_arrays(tmp_path / "less.npz", arrays)
    with pytest.raises(StudentError, match="patience missing"):
        load_traces(tmp_path / "less.npz", pack)
    for cut in (0, 10, path.stat().st_size // 2):
        (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:cut])
        with pytest.raises(StudentError, match="cannot be read"):
            load_traces(tmp_path / "cut.npz", pack)
