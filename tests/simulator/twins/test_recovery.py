"""A model that is fitted on a log with a known law plays by that law."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from personas.randomness import root_key
from simulator.twins.draw import draw, sample
from simulator.twins.fit import fit
from simulator.twins.model import FitOptions, TwinModel
from tests.simulator.twins.knowing import DAY, HOUR, START, promises, secret, sessions, table

Sessions = list[list[tuple[int, str, str | None]]]


@pytest.fixture(scope="module")
def model() -> TwinModel:
    return fit(promises(), FitOptions(k=5))


@pytest.fixture(scope="module")
def drawn(model: TwinModel) -> Sessions:
    return sessions(sample(model, 1500, np.uint64(11)))


def test_what_a_session_began_with_decides_how_it_ends(drawn: Sessions) -> None:
    ends = {"red": "done", "blue": "left"}
    kept = [session[-1][1] == ends.get(session[0][1]) for session in drawn]
    assert np.mean(kept) > 0.97
    assert np.mean([session[0][1] == "red" for session in drawn]) == pytest.approx(0.3, abs=0.04)


def test_lengths_come_back(drawn: Sessions) -> None:
    looks = np.array([sum(event == "look" for _, event, _ in session) for session in drawn])
    shares = np.bincount(looks, minlength=10)[3:9] / len(looks)
    assert shares == pytest.approx(np.full(6, 1 / 6), abs=0.04)


def test_items_follow_what_the_session_is_about(drawn: Sessions) -> None:
    halves = [
        (session[0][1] == "red") == (int(item[1:]) < 20)
        for session in drawn
        for _, event, item in session
        if item is not None
    ]
    assert np.mean(halves) > 0.95
    items = [[item for _, _, item in session if item] for session in drawn]
    again = [before == after for each in items for before, after in pairwise(each)]
    real = [[item for _, _, item in session if item] for session in sessions(promises())]
    truth = [before == after for each in real for before, after in pairwise(each)]
    assert np.mean(again) == pytest.approx(np.mean(truth), abs=0.03)


def test_times_keep_the_calendar_and_the_timers(drawn: Sessions) -> None:
    starts = [datetime.fromtimestamp(session[0][0] / 1e6, UTC) for session in drawn]
    assert np.mean([9 <= start.hour < 12 for start in starts]) > 0.98
    assert all(start.weekday() < 5 for start in starts)
    assert np.mean([session[-1][0] - session[-2][0] == HOUR for session in drawn]) > 0.97
    looks = [
        (after[0] - before[0]) / 1e6 for session in drawn for before, after in pairwise(session) if after[1] == "look"
    ]
    assert min(looks) > 29 and np.quantile(looks, 0.99) < 91
    assert np.quantile(looks, [0.25, 0.5, 0.75]) == pytest.approx([45, 60, 75], abs=2.5)


def test_items_and_events_of_few_are_not_in_the_model() -> None:
    model = fit(secret(promises(600), users=4), FitOptions(k=5))
    assert "confess" not in model.words["event"]
    rare = model.words["item"].index("hidden")
    network = {name.removeprefix("item."): array for name, array in model.arrays.items() if name.startswith("item.")}
    token = int(network["token"][rare])
    alone = len(network["leaf"]) - len(network["pool_first"])
    assert token >= alone, "learnt with others, or not at all"
    single = fit(secret(promises(600), users=1), FitOptions(k=5))
    assert not {"confess", "hidden"} & {word for words in single.words.values() for word in words}
    many = fit(secret(promises(600), users=30), FitOptions(k=5))
    assert "confess" in many.words["event"], "the rule looks at the number of users"


def test_items_that_one_person_met_are_met_by_one_twin() -> None:
    """Of 800 such items, drawn about as often, a fictional name hardly comes up twice."""
    own = [
        (f"person-{user}", f"own-{user}", START + (user % 28) * DAY + 12 * HOUR + step * 60_000_000, "look", item)
        for user in range(400)
        for step, item in enumerate((f"own-{user}-a", f"own-{user}-b"))
    ]
    model = fit(pa.concat_tables([promises(400), table(own)]), FitOptions(k=5))
    assert not any(word.startswith("own") for word in model.words["item"])
    drawn = sample(model, 800, root_key("names"))
    pairs = set(zip(drawn["user_id"].to_pylist(), drawn["item_id"].to_pylist(), strict=True))
    met = Counter(item for _, item in pairs if item and item.startswith("other-"))
    assert len(met) > 300 and sum(count == 1 for count in met.values()) > 0.85 * len(met)


def test_no_number_of_a_single_user_decides_a_table() -> None:
    log = promises(600)
    odd = table([("odd", "odd", 1_767_225_600_000_000 + n * 7_777_777_777, "look", "i00") for n in range(3)])
    plain, more = fit(log, FitOptions(k=5)), fit(pa.concat_tables([log, odd]), FitOptions(k=5))
    for name in ("dwell.atoms", "burst.event"):
        assert plain.arrays[name].tolist() == more.arrays[name].tolist()


@pytest.mark.parametrize("block", [1, 7])
def test_the_same_users_whatever_is_drawn_with_them(model: TwinModel, block: int) -> None:
    whole = draw(model, np.arange(21), np.uint64(5))
    parts = [draw(model, np.arange(first, first + block), np.uint64(5)) for first in range(0, 21, block)]
    for name in ("event", "item", "time"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert joined.tolist() == getattr(whole, name).tolist()


def test_rare_items_are_learnt_in_pools_that_k_users_have() -> None:
    rows = []
    for user in range(300):
        for step in range(4):
            item = f"rare{(user * 4 + step) // 3:03d}" if user < 90 else f"i{(user + step) % 12:02d}"
            rows.append((f"p{user}", f"s{user}", 1_767_225_600_000_000 + user * HOUR + step * 1_000_000, "look", item))
    model = fit(table(rows), FitOptions(k=5))
    first, items = model.arrays["item.pool_first"], model.arrays["item.pool_items"]
    words = model.words["item"]
    owners = [
        {user for user, _, _, _, item in rows if item in {words[place] for place in items[low:high].tolist()}}
        for low, high in pairwise(first.tolist())
    ]
    assert owners and min(map(len, owners)) >= 5
    hidden = fit(table(rows), FitOptions(k=5, item_names=5))
    assert not any(word.startswith("rare") for word in hidden.words["item"])


def test_nobody_goes_further_than_where_k_users_stopped() -> None:
    single = table([(f"p{user}", f"s{user}", 1_767_225_600_000_000 + user * HOUR, "ask", None) for user in range(300)])
    model = fit(single, FitOptions(k=5))
    assert set(np.unique(sample(model, 2000, np.uint64(1))["session_id"].to_pylist(), return_counts=True)[1]) == {1}
    more = table([("odd", "odd", 1_767_225_600_000_000 + step, "ask", None) for step in range(9)])
    model = fit(pa.concat_tables([single, more]), FitOptions(k=5))
    assert model.arrays["longest"].tolist() == [4, 1], "one is nobody's edge"
    assert set(np.unique(sample(model, 2000, np.uint64(1))["session_id"].to_pylist(), return_counts=True)[1]) == {1}


def test_longer_sessions_than_k_users_had_end_by_and_by() -> None:
    """Forty of 400 go on and on, each to another length: no length stands out at the end."""
    lengths = [1 + user % 3 if user % 10 else 20 + user // 10 for user in range(400)]
    rows = [
        (f"p{user}", f"s{user}", START + user * HOUR + step * 1_000_000, "ask", None)
        for user, length in enumerate(lengths)
        for step in range(length)
    ]
    model = fit(table(rows), FitOptions(k=5))
    cut, tiring = model.arrays["longest"].tolist()
    drawn = sample(model, 4000, np.uint64(3))["session_id"].to_pylist()
    counts = np.unique(drawn, return_counts=True)[1]
    assert tiring == sorted(lengths)[-5] < counts.max() <= cut
    behind = counts[counts > tiring]
    assert len(behind) > 20 and np.bincount(behind).max() < 0.25 * len(behind)
