"""The contract of every Gate; a test class inherits it, and gives evidence from a good run."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sinks.training.gates.gate import Evidence, Gate, Verdict


class GateContract(ABC):
    """Inherit, and implement `evidence`."""

    @abstractmethod
    def evidence(self) -> Evidence:
        """A good run, with its rows made."""

    def test_it_says_what_it_is(self, gate: Gate) -> None:
        assert gate.name.replace("_", "").isalpha()
        assert gate.name.islower()
        assert gate.stage in ("runs", "rows")
        assert gate.checks and not gate.checks.endswith(".")
        assert gate.unit
        assert 0 <= gate.threshold <= 10

    def test_a_good_run_passes_and_is_told_the_same_twice(self, gate: Gate) -> None:
        evidence = self.evidence()
        verdicts = [
            Verdict(gate.name, gate.stage, gate.checks, gate.unit, figure, gate.threshold, found, note)
            for figure, found, note in (gate.judge(evidence, gate.threshold) for _ in range(2))
        ]
        assert verdicts[0] == verdicts[1]
        assert verdicts[0].passed, verdicts[0]
        assert verdicts[0].found == ()
        assert {"gate", "figure", "threshold", "passed"} <= verdicts[0].told().keys()
