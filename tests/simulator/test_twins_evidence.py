"""The weights of prior and core: who speaks for a product's own users wins, and a core that is large wins over all."""

from __future__ import annotations

import numpy as np
import pytest

from personas.pack import load_pack
from simulator.twins.evidence import _mixture, evidence_of
from simulator.twins.log import Log
from simulator.twins.teachers import teachers_of
from tests.simulator.test_twins_run import core_of


@pytest.fixture(scope="module")
def prior() -> dict[str, Log]:
    return teachers_of(load_pack("desk"))


def test_the_mixture_finds_who_said_it() -> None:
    truth = np.array([0.7, 0.3])
    tables = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    counts = np.round(100_000 * (truth @ tables)).astype(int)
    chances = tables.T[np.repeat(np.arange(3), counts)]
    assert _mixture(chances) == pytest.approx(truth, abs=0.01)


def test_the_prior_knows_its_own_users_best_where_they_are_few(prior: dict[str, Log]) -> None:
    """The core was played by the prior itself: what it shows of 90 users, its declaration knows better."""
    told = evidence_of(core_of("desk"), load_pack("desk"), prior)
    assert told["prior"]["log_loss"] < told["core"]["log_loss"] and told["prior"]["weight"] > 0.5
    assert told["core"]["weight"] + told["prior"]["weight"] == pytest.approx(1.0, abs=1e-3)
    assert told["mixture"]["log_loss"] <= told["prior"]["log_loss"] + 1e-9


def test_other_users_than_declared_are_the_core_s(prior: dict[str, Log]) -> None:
    table = core_of("desk")
    backwards = table.take(list(reversed(range(table.num_rows))))
    told = evidence_of(backwards, load_pack("desk"), prior)
    assert told["core"]["weight"] > 0.5 and told["core"]["log_loss"] < told["prior"]["log_loss"]


def test_too_few_judges_say_nothing(prior: dict[str, Log]) -> None:
    assert evidence_of(core_of("desk").slice(0, 12), load_pack("desk"), prior) == {}
