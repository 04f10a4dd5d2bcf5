"""What drawing shows to be a little off at some place of a session is set right, and chance is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from personas.randomness import F64, root_key
from simulator.twins.draw import Stage, sample
from simulator.twins.fit import fit
from simulator.twins.history import PLACES
from simulator.twins.log import log_of
from simulator.twins.model import FitOptions, TwinModel
from simulator.twins.privacy import in_order
from simulator.twins.rehearsal import FURTHEST, _apart, rehearsed
from tests.simulator.twins.knowing import promises, sessions


@pytest.fixture(scope="module")
def model() -> TwinModel:
    return fit(promises(800), FitOptions(allow_near_copies=True))


def looks(model: TwinModel) -> float:
    """How often sessions look at something, on average: 5.5 in truth."""
    drawn = sessions(sample(model, 1500, root_key("looks")))
    return float(np.mean([sum(event == "look" for _, event, _ in session) for session in drawn]))


def test_sessions_that_are_drawn_too_long_become_as_long_as_real_ones(model: TwinModel) -> None:
    log, shape = in_order(log_of(promises(800))), Stage(model).shape
    wide = model.arrays["event.wide"].copy()
    wide[shape.first_place + 4 : shape.first_place + len(PLACES), model.words["event"].index("look")] += 0.4
    longer = TwinModel({**model.arrays, "event.wide": wide}, model.words)
    assert looks(longer) > 5.9
    names = [model.words["event"].index(word) for word in log.words["event"]]
    log = type(log)(**{**vars(log), "event": np.array(names)[log.event], "words": model.words})
    mended = TwinModel({**model.arrays, "event.wide": rehearsed(longer, shape, log, 5, root_key("try"))}, model.words)
    assert looks(mended) == pytest.approx(5.5, abs=0.2)
    assert np.array_equal(rehearsed(longer, shape, log, 801, root_key("try")), wide)  # of fewer users nothing is told


def test_what_chance_explains_is_left_alone() -> None:
    wanted = np.tile([300.0, 700.0], (len(PLACES), 1))
    assert not _apart(wanted, wanted * 3).any()
    assert np.abs(_apart(wanted, np.tile([880.0, 2120.0], (len(PLACES), 1)))).max() < 0.02
    assert not _apart(wanted, np.zeros_like(wanted)).any()
    much = _apart(np.tile([3000.0, 7000.0], (len(PLACES), 1)), np.tile([9000.0, 1000.0], (len(PLACES), 1)))
    assert_within(much)
    assert much[0] == pytest.approx([-FURTHEST, FURTHEST])


def assert_within(moved: F64) -> None:
    """No answer is moved further than is allowed."""
    assert np.abs(moved).max() <= FURTHEST
