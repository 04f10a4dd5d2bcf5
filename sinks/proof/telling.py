"""A proof on the terminal: every figure in a line, what was not measured and why, what curves say, and the gates."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from sinks.proof.metric import Group
from sinks.proof.record import Curve, Measured, Proof

_GROUPS: tuple[Group, ...] = ("utility", "fidelity", "diversity", "privacy")
#: Lines of curves in which the figures of tasks are shown.
_WIDE = 30


def told(proof: Proof, page: Path) -> Iterator[str]:
    """The lines."""
    figures = sorted(proof.figures, key=lambda each: _GROUPS.index(each.group))
    for group, members in groupby(figures, key=lambda each: each.group):
        yield f"{group}:"
        yield from map(_figure, members)
    if proof.absent:
        yield "not measured:"
        for reason, same in groupby(sorted(proof.absent, key=lambda each: each.reason), key=lambda each: each.reason):
            yield f"  {', '.join(each.metric for each in same)}: {reason}"
    for title, curves, said in (
        ("day zero to day N", proof.growth, proof.growth_said), ("generations", proof.collapse, proof.collapse_said),
    ):  # fmt: skip
        if curves:
            yield f"{title}:"
            yield from (f"  {text}" for text in said)
            yield from _table(curves)
    for note in proof.notes:
        yield f"note: {note}"
    for gate in proof.gates:
        yield f"gate {gate.metric}: {gate.rule}: {'passed' if gate.passed else 'FAILED'}"
    yield f"{proof.checked}; {page}"


def _figure(figure: Measured) -> str:
    value, floor = figure.value, figure.floor
    number = "       -" if value.value is None else f"{value.value:8.3f}"
    between = "" if value.low is None or value.high is None else f" [{value.low:.3f}, {value.high:.3f}]"
    fresh = "" if floor is None or floor.value is None else f"  (a fresh real sample: {floor.value:.3f})"
    markov = figure.parts.get("markov_skill")
    chain = "" if markov is None else f"  (a Markov chain: {markov:.3f})"
    doubt = f"\n  {'':{_WIDE}}   {figure.doubt}" if figure.doubt else ""
    return f"  {figure.metric:{_WIDE}} {number}{between}{fresh}{chain}{_mix(figure)}{doubt}"


def _mix(figure: Measured) -> str:
    """What a tenth of the core keeps alone, and with the synthetic log."""
    tenth, mix = figure.parts.get("tenth_skill"), figure.parts.get("mix_skill")
    return "" if tenth is None or mix is None else f"  (10 % of the core: {tenth:.3f}, with this log: {mix:.3f})"


def _table(curves: list[Curve]) -> Iterator[str]:
    """A line for each task and curve with the skill at each point."""
    tasks = dict.fromkeys(task for curve in curves for point in curve.points for task in point.skills)
    for task in tasks:
        labels = {point.x: point.label for curve in curves for point in curve.points}
        yield f"  {task:{_WIDE}} " + "".join(f"{label:>9}" for _, label in sorted(labels.items()))
        for curve in curves:
            found = {point.x: point.skills[task].value for point in curve.points if task in point.skills}
            cells = (found.get(x) for x in sorted(labels))
            yield f"    {curve.name[: _WIDE - 2]:{_WIDE - 2}} " + "".join(
                f"{'-' if cell is None else format(cell, '.3f'):>9}" for cell in cells
            )
