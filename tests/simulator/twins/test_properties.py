"""Further columns: of the item, of the session, and changing ones, by their own laws."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from simulator.twins.draw import sample
from simulator.twins.fit import fit
from simulator.twins.model import FitOptions, TwinModel
from tests.simulator.twins.knowing import numbers, promises

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
