"""The contract of every Maker; a test class inherits it, and gives the maker."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from sinks.proof.log import encode
from sinks.proof.maker import Maker
from tests.sinks.proof.making import shop_log


class MakerContract(ABC):
    """Inherit, and implement `maker`."""

    users = 300

    @abstractmethod
    def maker(self) -> Maker:
        """The maker."""

    def test_it_makes_as_many_sessions_in_the_same_words_and_the_same_ones_for_a_seed(self) -> None:
        taught = encode({"core": shop_log(8, self.users)})["core"]
        made, again, other = (self.maker().make(taught, 250, seed) for seed in (1, 1, 2))
        assert made.words == taught.words
        assert 0.9 * 250 <= made.sessions <= 1.1 * 250
        assert np.array_equal(made.event, again.event) and np.array_equal(made.time, again.time)
        assert len(made.event) != len(other.event) or not np.array_equal(made.event, other.event)
        assert not set(made.users.tolist()) & set(taught.users.tolist())
        assert (np.diff(made.time)[np.diff(made.session) == 0] >= 0).all()
        assert 0.7 < made.length.mean() / taught.length.mean() < 1.4
