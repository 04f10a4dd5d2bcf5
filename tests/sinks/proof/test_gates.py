"""Gates: what a file may say, what each rule decides, and what happens then."""

from __future__ import annotations

from pathlib import Path

import pytest

from personas.errors import GateError, ProofError
from sinks.proof.gates import judged, load_rules, require
from sinks.proof.record import Absent, Interval, Measured


def figure(value: float, low: float, high: float, floor: float | None = None) -> Measured:
    return Measured(
        metric="membership", group="privacy", title="t", goal="lower", unit="AUC", source="s",
        checked="checked on real hold-out", value=Interval(value=value, low=low, high=high),
        floor=None if floor is None else Interval(value=floor), sizes={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        ("{at_most: 0.53}", True),
        ("{at_most: 0.53, by: surely}", False),
        ("{at_most: 0.515, by: possibly}", True),
        ("{at_most: 0.515}", False),
        ("{at_least: 0.51}", True),
        ("{at_least: 0.51, by: surely}", False),
        ("{at_least: 0.54, by: possibly}", True),
        ("{at_least: 0.56, by: possibly}", False),
        ("{at_most: floor + 0.02}", True),
        ("{at_most: floor + 0.01}", False),
        ("{at_least: floor - 0.02}", True),
        ("{at_most: floor}", False),
    ],
)
def test_a_rule_decides_by_value_or_interval(tmp_path: Path, rule: str, passes: bool) -> None:
    file = tmp_path / "gates.yaml"
    file.write_text(f"membership: {rule}\n")
    [verdict] = judged(load_rules(file), [figure(0.52, 0.50, 0.55, floor=0.505)], [])
    assert verdict.passed is passes


def test_a_measure_without_a_figure_fails_unless_the_rule_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "gates.yaml"
    file.write_text("gaps: {at_most: 0.1}\nreturn_curve: {at_most: 0.1, absent: pass}\n")
    absent = [Absent(metric="gaps", group="fidelity", title="t", reason="times are whole days")]
    verdicts = judged(load_rules(file), [], absent)
    assert [verdict.passed for verdict in verdicts] == [False, True]
    with pytest.raises(GateError, match="gaps: times are whole days, expected at most 0.1") as raised:
        require(verdicts, tmp_path / "proof.html")
    assert raised.value.exit_code == 9
    require(verdicts[1:], tmp_path / "proof.html")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "memberships: {at_most: 0.5}",
            r"gates.yaml:1: there is no measure 'memberships' \(did you mean membership\?\)",
        ),
        ("gaps: {at_most: 0.1}\nmembership: 0.5", "gates.yaml:2: membership: found 0.5"),
        ("membership: {at_most: 0.5, at_least: 0.4}", "expected at_least or at_most"),
        ("membership: {at_most: much}", "expected a number, or floor"),
        ("membership: {at_most: 0.5, by: luck}", "by: 'luck'"),
        ("[]", "found no rules"),
        ("a: [", "gates.yaml"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "gates.yaml"
    file.write_text(text)
    with pytest.raises(ProofError, match=said):
        load_rules(file)
