"""`--gate gates.yaml`: how good a proof has to be. Each line names a measure and a bound, and says how sure to be.

    next_event_accuracy: {at_least: 0.9}
    session_length:      {at_most: floor + 0.02}
    membership:          {at_most: 0.53, by: surely}

`by` says what is held against the bound: `value` (the default), `surely` (the whole interval has to keep it: doubt is
against the data), or `possibly` (some of the interval has to: doubt is for the data). `floor` is what a fresh real
sample gets in this very proof. A measure that has no figure does not pass, unless `absent: pass` is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from personas.errors import GateError, PackError, ProofError
from personas.source import read_yaml
from sinks.proof.record import Absent, Judged, Measured
from sinks.proof.registry import all_metrics

By = Literal["value", "surely", "possibly"]
_BOUND = re.compile(r"^\s*floor\s*(?:([+-])\s*(\d+(?:\.\d+)?))?\s*$")
_FIELDS = ("at_least", "at_most", "by", "absent")


@dataclass(frozen=True)
class Rule:
    """One bound: `least` says that the figure has to be at least it. Relative to the floor where `floor`."""

    metric: str
    least: bool
    bound: float
    floor: bool = False
    by: By = "value"
    absent_passes: bool = False

    def __str__(self) -> str:
        number = f"floor {'-' if self.bound < 0 else '+'} {abs(self.bound):g}" if self.floor else f"{self.bound:g}"
        sure = {"value": "", "surely": ", with the whole interval", "possibly": ", with some of the interval"}[self.by]
        return f"at {'least' if self.least else 'most'} {number}{sure}"


def load_rules(path: Path) -> tuple[Rule, ...]:
    """The rules in a YAML file; ProofError names file and line of what is wrong."""
    try:
        data, lines = read_yaml(path)
    except PackError as error:
        raise ProofError(str(error), hint="A gate file is YAML: `measure: {at_least: 0.9}`, one a line.") from None
    if not isinstance(data, dict) or not data:
        raise ProofError(f"{path}:1: found no rules.", hint="Write `measure: {at_least: 0.9}`, one a line.")
    rules = []
    for name, given in data.items():
        place = f"{path}:{lines.get((name,), 1)}"
        if name not in all_metrics():
            near = get_close_matches(str(name), all_metrics(), n=1)
            raise ProofError(
                f"{place}: there is no measure {name!r}" + (f" (did you mean {near[0]}?)." if near else "."),
                hint=f"Measures: {', '.join(all_metrics())}.",
            )
        rules.append(_rule(str(name), given, place))
    return tuple(rules)


def _rule(name: str, given: Any, place: str) -> Rule:
    if not isinstance(given, dict) or ("at_least" in given) == ("at_most" in given) or set(given) - set(_FIELDS):
        raise ProofError(
            f"{place}: {name}: found {given!r}, expected at_least or at_most, and if need be by and absent.",
            hint=f"E.g. {name}: {{at_least: 0.9, by: surely}}",
        )
    least = "at_least" in given
    bound = given["at_least" if least else "at_most"]
    by, absent = given.get("by", "value"), given.get("absent", "fail")
    if by not in ("value", "surely", "possibly") or absent not in ("fail", "pass"):
        raise ProofError(
            f"{place}: {name}: found by: {by!r}, absent: {absent!r}.",
            hint="by is value, surely or possibly; absent is fail or pass.",
        )
    relative = _BOUND.match(bound) if isinstance(bound, str) else None
    if relative:
        number = float(relative[2] or 0) * (-1 if relative[1] == "-" else 1)
    elif isinstance(bound, int | float) and not isinstance(bound, bool):
        number = float(bound)
    else:
        raise ProofError(f"{place}: {name}: found {bound!r}, expected a number, or floor + a number.", hint="")
    return Rule(name, least, number, relative is not None, by, absent == "pass")


def judged(rules: Sequence[Rule], figures: Sequence[Measured], absent: Sequence[Absent]) -> list[Judged]:
    """What each rule says of the figures."""
    found = {figure.metric: figure for figure in figures}
    reasons = {each.metric: each.reason for each in absent}
    verdicts = []
    for rule in rules:
        figure = found.get(rule.metric)
        if figure is None:
            why = reasons.get(rule.metric, "not measured")
            verdicts.append(
                Judged(
                    metric=rule.metric, rule=str(rule), threshold=None, value=None, passed=rule.absent_passes, why=why
                )
            )
            continue
        threshold, held = _threshold(rule, figure), _held(rule, figure)
        passed = threshold is not None and held is not None and (held >= threshold if rule.least else held <= threshold)
        verdicts.append(
            Judged(
                metric=rule.metric,
                rule=str(rule),
                threshold=threshold,
                value=figure.value,
                passed=passed,
                why=figure.doubt,
            )
        )
    return verdicts


def _threshold(rule: Rule, figure: Measured) -> float | None:
    if not rule.floor:
        return rule.bound
    floor = figure.floor.value if figure.floor else None
    return None if floor is None else floor + rule.bound


def _held(rule: Rule, figure: Measured) -> float | None:
    worse, better = (figure.value.low, figure.value.high) if rule.least else (figure.value.high, figure.value.low)
    return {"value": figure.value.value, "surely": worse, "possibly": better}[rule.by]


def require(verdicts: Sequence[Judged], where: Path) -> None:
    """GateError (exit code 9) where a rule is not kept; the proof is written then, and says the same."""
    failed = [each for each in verdicts if not each.passed]
    if failed:
        lines = [f"  {each.metric}: {_said(each)}, expected {each.rule}" for each in failed]
        raise GateError(
            "The proof does not pass its gates.\n" + "\n".join(lines),
            hint=f"{where} shows every figure. Mend the data; or, knowing why, move the bound.",
        )


def _said(verdict: Judged) -> str:
    if verdict.value is None or verdict.value.value is None:
        return verdict.why or "no figure"
    low, high = verdict.value.low, verdict.value.high
    between = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
    return f"{verdict.value.value:.3f}{between}{f' ({verdict.why})' if verdict.why else ''}"
