"""Sessions that nearly equal a real person's are drawn again; what k users share never is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from personas.randomness import fold, root_key, uniform
from simulator.twins.draw import draw, sample
from simulator.twins.fit import fit
from simulator.twins.log import I64, Log
from simulator.twins.model import FitOptions
from simulator.twins.near_copies import NearCopies, elements_of, fit_near_copies, tokens_of
from simulator.twins.refusing import TRIES, Drawn, Refused, apart
from tests.simulator.twins.knowing import promises

EVENTS, ITEMS, NAMES = 4, 50, 45


def log_of_lists(sessions: list[list[tuple[int, int]]]) -> Log:
    """A session for each list of (event, item), each of a user of its own."""
    lengths = np.array([len(session) for session in sessions])
    rows = [pair for session in sessions for pair in session]
    first, count = np.append(0, np.cumsum(lengths)), len(sessions)
    event, item = (np.array([row[column] for row in rows], dtype=np.int64) for column in range(2))
    return Log(
        event, item, np.arange(len(rows)), np.repeat(np.arange(count), lengths), first, np.arange(count), {}, count
    )


def by_chance(number: int, length: int) -> list[tuple[int, int]]:
    bits = fold(fold(root_key("odd", number), np.arange(length)), 1)
    return [(int(u * EVENTS), int(v * ITEMS) - 1) for u, v in zip(uniform(bits), uniform(fold(bits, 2)), strict=True)]


ODD = [by_chance(number, 8) for number in range(300)]
COMMON = by_chance(1000, 8)
CORE = log_of_lists([*ODD, *[COMMON] * 9])


@pytest.fixture(scope="module")
def near() -> NearCopies:
    arrays, facts = fit_near_copies(CORE, NAMES, 5, 8)
    assert facts["sessions"] == 300 and facts["refused_of_other_people"] == 0.0 and facts["shortest"] == 3
    assert facts["refused_by_mistake"] <= 0.005
    return NearCopies(arrays, NAMES)


def refused(near: NearCopies, *sessions: list[tuple[int, int]]) -> list[int]:
    log = log_of_lists(list(sessions))
    return near.of(log.event, log.item, log.session, len(sessions)).tolist()


@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_copy_with_one_event_changed_is_found(near: NearCopies, place: int) -> None:
    real, other = ODD[17], (3, 44)
    without = real[:place] + real[place + 1 :]
    assert refused(near, real, without, [*real[:place], other, *real[place + 1 :]]) == [0, 1, 2]
    assert refused(near, [*real[:place], other, *real[place:]]) == [0], "one more"
    assert refused(near, [*without[:2], real[place], *without[2:]]) == [0], "elsewhere"


def test_nobody_is_refused_for_what_k_users_share_or_nobody_did(near: NearCopies) -> None:
    assert refused(near, COMMON, COMMON[1:], COMMON[:2]) == []
    strangers = [by_chance(number, 8) for number in range(5000, 6000)]
    assert len(refused(near, *strangers)) <= 20, "by mistake alone"
    assert refused(near, ODD[3][:2]) == [], "too short to point at anybody"


def test_items_without_a_name_are_alike(near: NearCopies) -> None:
    place, real = next((at, each) for each in ODD for at, pair in enumerate(each) if pair[1] >= NAMES)
    assert refused(near, [(e, NAMES if i >= NAMES else i) for e, i in real]) == [0] and place >= 0


def test_elements_are_what_leaving_one_out_leaves() -> None:
    log = log_of_lists([ODD[0], ODD[0][:4], *[ODD[0][:at] + ODD[0][at + 1 :] for at in range(8)]])
    elements = elements_of(tokens_of(log.event, log.item, NAMES, np.uint64(5)), log.session, 10, 3)
    mine = [set(elements.hash[elements.session == row].tolist()) for row in range(10)]
    whole = [elements.hash[elements.session == row][0] for row in range(10)]
    assert mine[0] >= set(whole[2:]) and len(mine[0]) == 9 and not mine[0] & mine[1]
    assert sorted(elements.length[elements.session == 1].tolist()) == [3, 3, 3, 3, 4]


def test_where_all_are_alike_nothing_is_refused() -> None:
    """Two kinds of events, in any order: of five events or fewer nothing points at anybody."""
    sessions = [[(int(u * 2), -1) for u in uniform(fold(root_key("coin", n), np.arange(5)))] for n in range(2000)]
    arrays, facts = fit_near_copies(log_of_lists(sessions), NAMES, 5, 5)
    assert facts["hashes"] == 0 and refused(NearCopies(arrays, NAMES), *sessions[:50]) == []


def test_what_is_kept_cannot_be_read_without_its_salt_and_follows_the_core() -> None:
    arrays, _ = fit_near_copies(CORE, NAMES, 5, 8)
    again, _ = fit_near_copies(CORE, NAMES, 5, 8)
    assert all((arrays[name] == again[name]).all() for name in arrays)
    other, _ = fit_near_copies(replace(CORE, time=CORE.time + 1), NAMES, 5, 8)
    assert len(np.intersect1d(other["near.hashes"], arrays["near.hashes"])) < 0.01 * len(arrays["near.hashes"])


def played(tries: list[list[list[tuple[int, int]]]]) -> tuple[list[list[tuple[int, int]]], Refused]:
    """What comes of two sessions whose n-th tries are these, told which try a key is by its value."""
    arrays, _ = fit_near_copies(CORE, NAMES, 5, 8)
    told = Refused()

    def play(asked: SimpleNamespace) -> Drawn:
        log = log_of_lists([tries[row][number] for row, number in zip(asked.row, asked.number, strict=True)])
        return log.event, log.item, log.time, log.session

    def again(rows: I64, key: object) -> SimpleNamespace:
        numbers[rows] += 1
        return SimpleNamespace(row=rows, number=numbers[rows], key=key)

    numbers = np.zeros(len(tries), dtype=np.int64)
    first = SimpleNamespace(
        row=np.arange(len(tries)), number=numbers.copy(), key=np.arange(len(tries), dtype=np.uint64)
    )
    event, item, _, session = apart(NearCopies(arrays, NAMES), play, again, first, told)
    assert (np.diff(session) >= 0).all()
    rows = [session == row for row in range(len(tries))]
    found = [list(zip(event[one].tolist(), item[one].tolist(), strict=True)) for one in rows]
    return found, told


def test_a_refused_session_is_drawn_again_and_at_last_cut() -> None:
    fine = by_chance(9000, 8)
    tries = [[fine], [ODD[1], ODD[2], fine[:5]], [ODD[number] for number in range(TRIES + 1)]]
    found, told = played(tries)
    assert found == [fine, fine[:5], ODD[TRIES][:2]] and told == Refused(refused=2, cut=1)


def test_a_model_draws_no_near_copy_and_the_same_whoever_is_drawn_with_it() -> None:
    model = fit(promises(250), FitOptions(k=5))
    without = {name: array for name, array in model.arrays.items() if not name.startswith("near.")}
    free = replace(model, arrays=without)
    near, told = NearCopies(model.arrays, len(model.words["item"])), Refused()
    log = draw(model, np.arange(1500), np.uint64(3), told)
    assert len(near.of(log.event, log.item, log.session, len(log.user))) == 0 < told.refused
    other = draw(free, np.arange(1500), np.uint64(3))
    bad = near.of(other.event, other.item, other.session, len(other.user))
    assert len(bad) == told.refused
    alone = draw(model, bad[:1], np.uint64(3))
    rows = log.session == np.flatnonzero(log.user == bad[0])[0]
    assert alone.item.tolist() == log.item[rows].tolist() and alone.time.tolist() == log.time[rows].tolist()
    assert sample(model, 50, np.uint64(1)).num_rows > 50
