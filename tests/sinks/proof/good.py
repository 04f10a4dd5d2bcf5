"""Three samples of one known truth, measured once for all tests of a process."""

from __future__ import annotations

from functools import cache

from sinks.proof.evidence import Evidence
from sinks.proof.log import encode
from tests.sinks.proof.making import shop_log


@cache
def good() -> Evidence:
    """A fresh sample of the truth stands for the synthetic log."""
    logs = encode({name: shop_log(seed, 500) for seed, name in enumerate(("synthetic", "core", "holdout"), start=10)})
    return Evidence(**logs, replicates=20)
