"""Every measure keeps the contract, on three samples of one known truth."""

from __future__ import annotations

from functools import cache

import pytest

from sinks.proof.evidence import Evidence
from sinks.proof.log import encode
from sinks.proof.registry import all_metrics
from tests.contracts.metric import MetricContract
from tests.sinks.proof.making import shop_log


@cache
def good() -> Evidence:
    logs = encode({name: shop_log(seed) for seed, name in enumerate(("synthetic", "core", "holdout"))})
    return Evidence(**logs, replicates=20)


@pytest.mark.parametrize("metric", all_metrics().values(), ids=all_metrics())
class TestEveryMetric(MetricContract):
    def evidence(self) -> Evidence:
        return good()
