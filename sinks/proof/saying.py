"""What curves say in words: when to stop simulating, what day zero is worth, what generations lost.

A sentence for each task, made of intervals: what cannot be told from nothing is never called a gain or a loss. Knows
points and gains, no log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sinks.proof.record import Curve, Gain, Interval


def stopping(gains: Sequence[Gain]) -> list[str]:
    """From which share of the core real data alone is as good as with synthetic data: for all tasks, then for each."""
    said, last = [], {}
    for task in dict.fromkeys(gain.task for gain in gains):
        line = sorted((gain for gain in gains if gain.task == task), key=lambda gain: gain.x)
        helps = [place for place, gain in enumerate(line) if (gain.value.low or 0) > 0]
        stop = helps[-1] + 1 if helps else 0
        last[task] = line[stop] if stop < len(line) else None
        text = f"{task}: "
        if helps:
            text += f"synthetic data adds skill up to {_there(line[stop - 1])}"
            text += f"; from {_there(line[stop])} on no gain can be told" if stop < len(line) else ", all that there is"
        else:
            text += f"at no share a gain can be told from chance, from {_there(line[0])} on"
        if worse := [gain for gain in line if (gain.value.high or 0) < 0]:
            text += f"; it costs skill at {' and '.join(_there(gain) for gain in worse)}"
        said.append(f"{text}.")
    if not last:
        return said
    still = [task for task, gain in last.items() if gain is None]
    if still:
        return [f"Do not stop simulating yet: with all of this core, {_listed(still)} still gains.", *said]
    at = max((gain for gain in last.values() if gain is not None), key=lambda gain: gain.x)
    when = f"at {at.label} of this core, {at.users:,} real users" if at.users else f"at {at.label} of this core"
    return [f"Stop simulating {when}: from there on no task can be told to gain.", *said]


def beginning(lines: Sequence[Curve], synthetic: str) -> list[str]:
    """What synthetic data is worth on day zero, where a log that knew no core was given."""
    points = [point for line in lines if line.name == synthetic for point in line.points if point.x == 0]
    return [
        f"Day zero, no real user: {task} has a skill of {_said(skill)}: {_sign(skill)}."
        for point in points
        for task, skill in point.skills.items()
    ]


def losing(lines: Sequence[Curve], gains: Sequence[Gain]) -> list[str]:
    """What each strategy lost from the first model to the last: in short, by task, and of the coverage of the tail."""
    said = _fallen(gains)
    for line in lines:
        first, last = line.points[1], line.points[-1]
        strategy = line.name.split()[0]
        for gain in gains:
            begun = first.skills.get(gain.task)
            if gain.line == strategy and begun is not None and begun.value is not None:
                share = f", {_percent(gain.value.value, begun.value)} of it" if begun.value > 0.05 else ""
                said.append(
                    f"{strategy}, generation {first.label} to {last.label}: {gain.task} has a skill of "
                    f"{begun.value:.3f}, and changes by {_said(gain.value, signed=True)}{share}."
                )
        for name in ("tail_coverage", "catalogue_coverage"):
            one, other = getattr(first, name), getattr(last, name)
            if one and other is not None:
                said.append(
                    f"{strategy}, generation {first.label} to {last.label}: {name.replace('_', ' ')} goes from "
                    f"{one:.3f} to {other:.3f}, {_percent(other - one, one)} of it."
                )
    return said


def _fallen(gains: Sequence[Gain]) -> list[str]:
    """The loss of all tasks in a sentence."""
    parts = []
    for strategy, words in (
        ("accumulate", "learning from the core and all before it"),
        ("mix", "learning from the core and as much of all before it"),
        ("replace", "learning from the last one alone"),
    ):  # fmt: skip
        mine = [gain for gain in gains if gain.line == strategy]
        lost = [gain.task for gain in mine if (gain.value.high or 0) < 0]
        if mine:
            some = f"{_listed(lost)} can be told to lose skill" if lost else "no task can be told to lose skill"
            parts.append(f"{words} ({strategy}), {some}")
    return [f"By generation {gains[-1].label}: {'; '.join(parts)}."] if parts else []


def silent(unjudged: Mapping[str, str]) -> list[str]:
    """The tasks that are on no curve, and why."""
    return [f"{task}: {reason}." for task, reason in unjudged.items()]


def _there(gain: Gain) -> str:
    users = f", {gain.users:,} users" if gain.users else ""
    return f"{gain.label} of the core ({_said(gain.value, signed=True)}{users})"


def _said(found: Interval, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if found.value is None:
        return "no figure"
    between = "" if found.low is None or found.high is None else f" [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"
    return f"{found.value:{sign}.3f}{between}"


def _sign(skill: Interval) -> str:
    if (skill.low or 0) > 0:
        return "more than a guess that knows how frequent each answer really is"
    return "less than such a guess" if (skill.high or 0) < 0 else "no more than a guess, within the interval"


def _percent(change: float | None, of: float) -> str:
    return f"{100 * (change or 0) / of:+.1f} %"


def _listed(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1]) if len(names) > 1 else names)
