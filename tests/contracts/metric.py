"""The contract of every Metric; a test class inherits it, and gives evidence of a good proof."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from sinks.proof.evidence import Evidence
from sinks.proof.metric import Metric


class MetricContract(ABC):
    """Inherit, and implement `evidence`."""

    @abstractmethod
    def evidence(self) -> Evidence:
        """Three samples of one truth: synthetic log, core and hold-out."""

    def test_it_says_what_it_is(self, metric: Metric) -> None:
        assert metric.name.replace("_", "").isalnum() and metric.name.islower()
        assert metric.group in ("utility", "fidelity", "diversity", "privacy")
        assert metric.goal in ("higher", "lower", "close")
        assert metric.title and not metric.title.endswith(".")
        assert metric.unit and metric.source
        assert len(metric.range) == 2

    def test_a_figure_is_within_its_range_and_the_same_twice(self, metric: Metric) -> None:
        figure = metric.compute(self.evidence())
        assert not isinstance(figure, str), figure
        low, high = metric.range
        assert math.isfinite(figure.value.value)
        assert low is None or figure.value.value >= low
        assert high is None or figure.value.value <= high
        assert figure.value.low <= figure.value.high
        assert figure.sizes and all(size >= 0 for size in figure.sizes.values())
        again = metric.compute(self.evidence())
        assert repr(again) == repr(figure)  # NaN is not itself
