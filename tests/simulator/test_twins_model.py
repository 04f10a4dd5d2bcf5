"""The seam between fitting and drawing: what every twin model promises, whatever is inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from simulator.twins.draw import draw, sample
from simulator.twins.fit import fit
from simulator.twins.log import log_of, table_of
from simulator.twins.model import FitOptions, TwinModel

START = datetime(2026, 3, 2, tzinfo=UTC)


def small_log(users: int = 60) -> pa.Table:
    """Three steps a session, one session on each of two days for every third user; one user does something odd."""
    rows = []
    for user in range(users):
        for day in range(2 if user % 3 == 0 else 1):
            at = START + timedelta(days=user % 10 + day, hours=9)
            steps = ["open", "look", "buy"] if user % 2 else ["open", "look", "look"]
            if user == 7:
                steps = ["open", "confess", "look"]
            for step, event in enumerate(steps):
                item = None if event == "open" else f"i{user % 4}"
                rows.append((f"person-{user}", f"s{user}-{day}", at + timedelta(minutes=step), event, item))
    names = ["user_id", "session_id", "ts", "event", "item_id"]
    kinds = [pa.string(), pa.string(), pa.timestamp("us", "UTC"), pa.string(), pa.string()]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)], names
    )


@pytest.fixture(scope="module")
def model() -> TwinModel:
    return fit(small_log(), FitOptions(k=5))


def test_a_log_survives_its_arrays() -> None:
    table = small_log()
    log = log_of(table)
    users = list(dict.fromkeys(table["user_id"].to_pylist()))
    sessions = list(dict.fromkeys(table["session_id"].to_pylist()))
    assert table_of(log, users, sessions).drop_columns(["step"]) == table


def test_a_user_is_the_same_whoever_is_drawn_with_it(model: TwinModel) -> None:
    together, alone = draw(model, np.arange(40), np.uint64(3)), draw(model, np.array([31, 5]), np.uint64(3))
    for place, number in enumerate((31, 5)):
        for name in ("event", "item", "time"):
            theirs = getattr(together, name)[together.user[together.session] == number]
            assert theirs.tolist() == getattr(alone, name)[alone.user[alone.session] == place].tolist()
    assert draw(model, np.arange(40), np.uint64(4)).time.tolist() != together.time.tolist(), "the key decides"


def test_a_sample_is_a_log_with_so_many_sessions(model: TwinModel) -> None:
    table = sample(model, 300, np.uint64(1))
    assert len(table["session_id"].unique()) == 300
    assert table.slice(0, len(sample(model, 20, np.uint64(1)))) == sample(model, 20, np.uint64(1)), (
        "a longer one goes on"
    )
    assert set(table["event"].to_pylist()) <= {"open", "look", "buy"}
    log = log_of(table)
    assert (np.diff(log.time)[np.diff(log.session) == 0] >= 0).all()


def test_what_one_user_did_is_in_no_session_and_nobody_s_name_in_the_model(model: TwinModel) -> None:
    assert "confess" not in sample(model, 2000, np.uint64(2))["event"].to_pylist()
    assert not any(word in ("confess", "person-7") for words in model.words.values() for word in words)


def test_the_fingerprint_follows_the_arrays(model: TwinModel) -> None:
    assert fit(small_log(), FitOptions(k=5)).fingerprint == model.fingerprint
    assert fit(small_log(50), FitOptions(k=5)).fingerprint != model.fingerprint
