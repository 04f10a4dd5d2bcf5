"""The part of proof.html that is about curves: what they say in words first, then a chart and a table for each task."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sinks.proof.charts import lines
from sinks.proof.record import Curve, Interval, Point, Proof

#: Skills below this are drawn at the edge of a chart; tables have them as they are.
_LOWEST = -0.5


def curves_of(proof: Proof) -> str:
    """Growth and collapse, where they were measured."""
    text = ""
    if proof.growth:
        text += "<h2>From day zero to day N</h2><p>What models are worth as the real log grows: taught by the real "
        text += (
            "sessions alone, by synthetic ones alone (their generator saw only these real ones), and by both, where "
        )
        text += "all synthetic users count for as many real ones as there are, 1,000 at most. 1 is what the whole core "
        text += "teaches, 0 a guess. Where both no longer gain on real alone, it is time to stop simulating. A line "
        text += (
            "with the log of this proof tells nothing of small shares if that log was made from all of the core.</p>"
        )
        text += _told(proof.growth_said) + _drawn(proof.growth, "share of the real core")
    if proof.collapse:
        text += "<h2>Generation after generation</h2><p>Models fitted on what models made: each generation on the last "
        text += (
            "alone (replace), on everything so far, the real core among it (accumulate), or on the core and as "
        )
        text += "many sessions of all that came before (mix). Each is judged by what a model learns from its sessions "
        text += "alone: 1 is what the core teaches, 0 a guess.</p>"
        text += _told(proof.collapse_said) + _drawn(proof.collapse, "generation")
    if text:
        text += (
            f"<p><small>{escape(proof.checked.capitalize())}. Ranges are 95 % bootstrap intervals over the users of "
        )
        text += f"the hold-out ({proof.replicates} replicates, seed {proof.seed}). Of each generation's model several "
        text += "samples are judged, and how they vary is in the interval; from day zero to day N there is one sample "
        text += "from each model. How models of another seed would vary is in none of them.</small></p>"
    return text


def _told(said: Sequence[str]) -> str:
    if not said:
        return ""
    rest = "".join(f"<li>{escape(each)}</li>" for each in said[1:])
    return f'<p class="words"><strong>{escape(said[0])}</strong></p><ul>{rest}</ul>'


def _drawn(curves: Sequence[Curve], x: str) -> str:
    tasks = list(dict.fromkeys(task for curve in curves for point in curve.points for task in point.skills))
    labels = {point.x: point.label for curve in curves for point in curve.points}
    text = ""
    for task in tasks:
        series = {
            curve.name: [(point.x, _edge(skill.value)) for point in curve.points if (skill := point.skills.get(task))]
            for curve in curves
        }
        between = {
            curve.name: [
                (point.x, _edge(skill.low), _edge(skill.high))
                for point in curve.points
                if (skill := point.skills.get(task))
            ]
            for curve in curves
        }
        text += lines(f"Skill: {task}", series, x=x, y="skill", labels=labels, between=between)
        text += _table(task, curves, x, {curve.name: {p.x: _cell(p, task) for p in curve.points} for curve in curves})
    for name, title in (("tail_coverage", "Tail coverage"), ("catalogue_coverage", "Catalogue coverage")):
        shares = {curve.name: [(point.x, getattr(point, name)) for point in curve.points] for curve in curves}
        text += lines(title, shares, x=x, y="share", labels=labels)
    return text


def _table(task: str, curves: Sequence[Curve], x: str, cells: dict[str, dict[float, str]]) -> str:
    labels = {point.x: point.label for curve in curves for point in curve.points}
    head = "".join(f"<th scope=col class=n>{escape(curve.name)}" for curve in curves)
    rows = "".join(
        f"<tr><th scope=row>{escape(label)}"
        f"{''.join(f'<td class=n>{cells[curve.name].get(at, str())}</td>' for curve in curves)}</tr>"
        for at, label in sorted(labels.items())
    )
    return (
        f"<details><summary>{escape(task)}: figures</summary><div class=wide><table><caption>Skill: {escape(task)}"
        f"</caption><tr><th scope=col>{escape(x.capitalize())}{head}</tr>{rows}</table></div></details>"
    )


def _cell(point: Point, task: str) -> str:
    found: Interval | None = point.skills.get(task)
    if found is None or found.value is None:
        return ""
    between = "" if found.low is None or found.high is None else f"<br>{found.low:.3f} to {found.high:.3f}"
    return f"{found.value:.3f}<small>{between}<br>{point.users:,} users, {point.sessions:,} sessions</small>"


def _edge(value: float | None) -> float | None:
    return None if value is None else max(_LOWEST, value)
