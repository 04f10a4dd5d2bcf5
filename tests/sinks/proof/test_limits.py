"""Where a measure has to stay silent, and where the size of a log must not blind it."""

from __future__ import annotations

from dataclasses import replace

from sinks.proof.evidence import Evidence
from sinks.proof.measures.progress import ReturnCurve
from sinks.proof.metric import Figure
from tests.sinks.proof.good import good


def test_a_log_of_less_than_a_day_says_nothing_of_who_comes_back() -> None:
    whole = good()
    short = replace(whole.synthetic, time=whole.synthetic.time // 60)  # forty days become sixteen hours
    found = ReturnCurve().compute(Evidence(short, *whole.real, replicates=20))
    assert isinstance(found, str) and "too short to tell" in found
    assert isinstance(ReturnCurve().compute(whole), Figure)
