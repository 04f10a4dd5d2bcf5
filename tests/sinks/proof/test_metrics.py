"""Every measure keeps the contract, on three samples of one known truth."""

from __future__ import annotations

import pytest

from sinks.proof.evidence import Evidence
from sinks.proof.registry import all_metrics
from tests.contracts.metric import MetricContract
from tests.sinks.proof.good import good

#: What one file has had fitted on the good samples, the other need not have fitted again.
pytestmark = pytest.mark.xdist_group("measures")


@pytest.mark.parametrize("metric", all_metrics().values(), ids=all_metrics())
class TestEveryMetric(MetricContract):
    def evidence(self) -> Evidence:
        return good()
