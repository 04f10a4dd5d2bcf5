"""Further columns: of the item, of the user, of the session, changing ones, and numbers, each by its own law."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from simulator.twins.draw import sample
from simulator.twins.fit import fit
from simulator.twins.model import FitOptions, TwinModel
from tests.simulator.twins.knowing import HOUR, START, numbers, promises, table

REGIONS = {"north": ["oslo", "turku"], "south": ["rome", "faro"]}


def with_columns(users: int = 400) -> pa.Table:
    """A price that follows from the item; a region by session, and a town in it; a counter that never falls; a number
    that everybody has alone."""
    log = promises(users)
    price, region, town, count, alone = [], [], [], [], []
    level, session_before = 0, None
    rows = zip(log["user_id"].to_pylist(), log["session_id"].to_pylist(), log["item_id"].to_pylist(), strict=True)
    for row, (user, session, item) in enumerate(rows):
        level = 0 if session != session_before else min(level + (numbers("up", row) < 0.4), 3)
        session_before = session
        price.append(None if item is None else 5 * int(item[1:]))
        region.append("north" if numbers("region", session) < 0.7 else "south")
        town.append(REGIONS[region[-1]][int(2 * numbers("town", session))])
        count.append(level)
        alone.append(f"secret of {user}")
    more = {"price": pa.array(price, pa.int64()), "region": region, "town": town, "level": pa.array(count, pa.int64())}
    return pa.table({**{name: log[name] for name in log.column_names}, **more, "alone": alone})


@pytest.fixture(scope="module")
def model() -> TwinModel:
    return fit(with_columns(), FitOptions(k=5))


def test_each_column_keeps_its_law(model: TwinModel) -> None:
    drawn = sample(model, 400, np.uint64(3)).to_pylist()
    priced = [row for row in drawn if row["price"] is not None]
    assert all(row["price"] == 5 * int(row["item_id"][1:]) for row in priced)
    assert len(priced) > 0.97 * sum(row["item_id"] is not None for row in drawn), "all but those of rare items"
    assert all(row["price"] is None for row in drawn if row["item_id"] is None)
    towns = {row["session_id"]: (row["region"], row["town"]) for row in drawn}
    assert all((row["region"], row["town"]) == towns[row["session_id"]] for row in drawn), "one for a session"
    assert all(town in REGIONS[region] for region, town in towns.values())
    assert np.mean([region == "north" for region, _ in towns.values()]) == pytest.approx(0.7, abs=0.08)
    levels: dict[str, list[int]] = {}
    for row in drawn:
        levels.setdefault(row["session_id"], []).append(row["level"])
    assert all(each == sorted(each) and each[0] == 0 for each in levels.values()), "it never falls"


def test_what_everybody_has_alone_is_left_out_and_told(model: TwinModel) -> None:
    assert "alone" not in sample(model, 5, np.uint64(3)).column_names
    assert "fewer than 5 users" in model.facts["columns_left_out"]["alone"]
    assert not any("secret" in word for words in model.words.values() for word in words)


def visits(users: int = 300) -> pa.Table:
    """Sessions of four events with 300 items, each of which has a title; users have a country; `wait` has a number for
    one of two events, and is zero for a third of those; `dice` tells nothing of the one before; `size` is whole;
    `age` is told by the first event alone."""
    rows, more = [], {name: [] for name in ("title", "country", "wait", "dice", "size", "age")}
    for user in range(users):
        for session in range(3):
            for step in range(4):
                key = (user, session, step)
                item = int(300 * numbers("item", *key))
                event = "open" if step % 2 else "load"
                time = START + user * HOUR + session * 30 * HOUR + step * 60_000_000
                rows.append((f"u{user}", f"u{user}-{session}", time, event, f"i{item:03d}"))
                more["title"].append(f"title of {item}")
                more["country"].append(("fi", "no", "dk")[int(3 * numbers("country", user))])
                seconds = round(100 * numbers("wait", *key) ** 3, 2) if numbers("any", *key) > 1 / 3 else 0.0
                more["wait"].append(seconds if event == "load" else None)
                more["age"].append(30 + int(3 * numbers("age", user)) if step == 0 else None)
                more["dice"].append(1 + int(30 * numbers("dice", *key)))
                more["size"].append(int(1000 + 1e6 * numbers("size", *key) ** 2))
    log = table(rows)
    return pa.table({**{name: log[name] for name in log.column_names}, **more})


@pytest.fixture(scope="module")
def drawn() -> pa.Table:
    return sample(fit(visits(), FitOptions(k=5)), 2000, np.uint64(3))


def test_what_follows_from_items_may_have_as_many_values_as_they(drawn: pa.Table) -> None:
    rows = [row for row in drawn.to_pylist() if row["title"] is not None]
    assert len({row["title"] for row in rows}) > 200
    assert all(row["title"] == f"title of {int(row['item_id'][1:])}" for row in rows)


def test_what_holds_for_a_user_holds_in_all_sessions(drawn: pa.Table) -> None:
    countries: dict[str, set[str]] = {}
    for row in drawn.to_pylist():
        countries.setdefault(row["user_id"], set()).add(row["country"])
    assert len(countries) > 400 and all(len(each) == 1 for each in countries.values())
    assert {name for each in countries.values() for name in each} == {"fi", "no", "dk"}


def test_what_only_the_first_event_tells_is_told_by_that_alone(drawn: pa.Table) -> None:
    rows, seen = drawn.to_pylist(), set[str]()
    for row in rows:
        assert (row["age"] is None) == (row["session_id"] in seen)
        seen.add(row["session_id"])


def test_numbers_that_nobody_shares_come_back_as_they_are_spread(drawn: pa.Table) -> None:
    real = visits()
    for name, kind in (("wait", pa.float64()), ("size", pa.int64())):
        assert drawn[name].type == kind
        ours, theirs = (np.sort(np.array(log[name].drop_null().to_pylist(), float)) for log in (drawn, real))
        marks = np.linspace(theirs[0], theirs[-1], 50)
        shares = [np.searchsorted(each, marks, side="right") / len(each) for each in (ours, theirs)]
        assert np.abs(shares[0] - shares[1]).max() < 0.05
    rows = drawn.to_pylist()
    assert all((row["wait"] is None) == (row["event"] == "open") for row in rows)
    waits, known_waits = (np.array(log["wait"].drop_null().to_pylist()) for log in (drawn, real))
    assert (waits == 0).mean() == pytest.approx((known_waits == 0).mean(), abs=0.04)
    assert np.array_equal(waits, waits.round(2)), "as many decimals as in the core"
    known = set(real["size"].to_pylist())
    assert np.mean([row["size"] in known for row in rows]) < 0.05, "no one's own number"


def test_a_value_that_says_nothing_of_the_next_is_not_asked(drawn: pa.Table) -> None:
    shares = np.bincount(drawn["dice"].to_pylist(), minlength=31)[1:] / drawn.num_rows
    real = np.bincount(visits()["dice"].to_pylist(), minlength=31)[1:] / (300 * 12)
    assert np.abs(shares - real).sum() / 2 < 0.1
