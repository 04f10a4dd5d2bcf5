"""Small charts as inline SVG: lines, bars, and values with intervals. No script, no font, no network.

Two ways were weighed: a chart library in the page (a megabyte for six charts, and nothing to read without scripts), or
SVG that we write. SVG won: it is in the page's own text, prints, scales, and carries a title and a description that a
screen reader reads. Colours are of equal contrast and never the only difference: lines differ in dashes, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 28, 12, 36
#: The width of charts that fit a phone, and how far lines that meet in a place stand apart.
_SLIM, _APART = 420, 3
#: Lines of at most so many points show each of them.
_MARKED = 12
_STYLES = (("#0b5cad", ""), ("#b34700", "6 3"), ("#2d6a2d", "2 3"), ("#6b2f8a", "9 3 2 3"), ("#555555", "1 2"))


@dataclass(frozen=True)
class Mark:
    """A row of a chart of intervals: a value from `low` to `high`, and where a fresh real sample is (`floor`)."""

    label: str
    value: float
    low: float | None
    high: float | None
    floor: float | None


def lines(
    title: str, series: Mapping[str, Sequence[tuple[float, float | None]]], *, x: str, y: str,
    labels: Mapping[float, str] | None = None,
    between: Mapping[str, Sequence[tuple[float, float | None, float | None]]] | None = None,
) -> str:  # fmt: skip
    """Lines through points; `labels` names places on the horizontal axis; `between` has the intervals of points. A
    point without a value is left out."""
    known = {name: [(a, b) for a, b in points if b is not None] for name, points in series.items()}
    known = {name: points for name, points in known.items() if points}
    if not known:
        return ""
    spans = {
        name: [(a, low, up) for a, low, up in points if low is not None and up is not None]
        for name, points in (between or {}).items()
    }
    every = [point for points in known.values() for point in points]
    ends = [end for points in spans.values() for _, low, up in points for end in (low, up)]
    wide = _Scale(min(a for a, _ in every), max(a for a, _ in every), _LEFT, _WIDTH - _RIGHT)
    tops = [*(b for _, b in every), *ends]
    high = _Scale(min(0.0, *tops), max(tops), _HEIGHT - _BOTTOM, _TOP).whole()
    places = labels or {number: f"{number:g}" for number in wide.ticks()}
    parts = [_grid(high), *(
        f'<text x="{wide(at):.1f}" y="{_HEIGHT - 20}" text-anchor="middle">{escape(text)}</text>'
        for at, text in places.items()
    )]  # fmt: skip
    for place, (_, points) in enumerate(known.items()):
        colour, dashes = _STYLES[place % len(_STYLES)]
        aside = _APART * (place - (len(known) - 1) / 2) if len(points) <= _MARKED else 0.0
        path = " ".join(
            f"{'M' if not k else 'L'}{wide(a) + aside:.1f} {high(b):.1f}" for k, (a, b) in enumerate(points)
        )
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
        if len(points) <= _MARKED:
            parts += [
                f'<circle cx="{wide(a) + aside:.1f}" cy="{high(b):.1f}" r="3" fill="{colour}"/>' for a, b in points
            ]
        parts += [
            f'<line x1="{wide(a) + aside:.1f}" y1="{high(low):.1f}" x2="{wide(a) + aside:.1f}" y2="{high(up):.1f}" '
            f'stroke="{colour}"/>'
            for a, low, up in spans.get(list(known)[place], ())
        ]
    told = "; ".join(f"{name}: {points[0][1]:.3g} to {points[-1][1]:.3g}" for name, points in known.items())
    return _figure(title, told, parts, _HEIGHT, x=x, y=y, names=list(known))


def bars(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]], *, y: str) -> str:
    """Groups of bars: one group for each label, one bar in it for each series."""
    if not labels or not series:
        return ""
    top = max(max(values, default=0) for values in series.values()) or 1.0
    high = _Scale(0.0, top, _HEIGHT - _BOTTOM, _TOP).whole()
    room = (_WIDTH - _LEFT - _RIGHT) / len(labels)
    thick = room * 0.8 / len(series)
    parts = [_grid(high)]
    every = max(1, round(len(labels) / 12))
    for at, label in enumerate(labels):
        left = _LEFT + room * (at + 0.1)
        for place, values in enumerate(series.values()):
            top = high(values[at])
            parts.append(
                f'<rect x="{left + thick * place:.1f}" y="{top:.1f}" width="{thick:.1f}" '
                f'height="{_HEIGHT - _BOTTOM - top:.1f}" fill="{_STYLES[place][0]}"/>'
            )
        if at % every == 0:
            text = label if len(label) <= 14 else f"{label[:13]}…"
            parts.append(
                f'<text x="{_LEFT + room * (at + 0.5):.1f}" y="{_HEIGHT - 20}" text-anchor="middle">'
                f"{escape(text)}</text>"
            )
    told = "; ".join(
        f"{label}: " + ", ".join(f"{name} {values[at]:.3g}" for name, values in series.items())
        for at, label in enumerate(labels[:12])
    )
    return _figure(title, told, parts, _HEIGHT, x="", y=y, names=list(series))


def intervals(title: str, marks: Sequence[Mark], *, x: str) -> str:
    """Values with their intervals, one row each below its label; a hollow diamond where a fresh real sample is."""
    if not marks:
        return ""
    row, low, high = 40, -0.25, 1.25
    scale = _Scale(low, high, 0, _SLIM)
    bottom = _TOP + row * len(marks)
    parts = []
    for number in (0.0, 0.5, 1.0):
        at = scale(number)
        parts.append(f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}" stroke="#bbb"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle">{number:g}</text>')
    told = []
    for place, mark in enumerate(marks):
        y = _TOP + row * place + 28
        parts.append(f'<text class="over" x="2" y="{y - 14}">{escape(mark.label)}</text>')
        if mark.low is not None and mark.high is not None:
            ends = [scale(min(max(each, low), high)) for each in (mark.low, mark.high)]
            parts.append(
                f'<line x1="{ends[0]:.1f}" y1="{y}" x2="{ends[1]:.1f}" y2="{y}" stroke="#0b5cad" stroke-width="3"/>'
            )
        at = scale(min(max(mark.value, low), high))
        parts.append(f'<circle cx="{at:.1f}" cy="{y}" r="5" fill="#0b5cad"/>')
        if mark.floor is not None:
            there = scale(min(max(mark.floor, low), high))
            parts.append(
                f'<path d="M{there:.1f} {y - 6} l6 6 l-6 6 l-6 -6 z" fill="none" stroke="#b34700" stroke-width="2"/>'
            )
        told.append(f"{mark.label} {mark.value:.3g}")
    return _figure(title, "; ".join(told), parts, bottom + 24, x=x, y="", names=[], width=_SLIM)


class _Scale:
    """Numbers to places: `low` to `begin`, `high` to `end`."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self.low, self.high = low, high if high > low else low + 1.0
        self._begin, self._end, self._step = begin, end, _step_of(self.high - self.low)

    def __call__(self, number: float) -> float:
        return self._begin + (number - self.low) / (self.high - self.low) * (self._end - self._begin)

    def whole(self) -> _Scale:
        """The scale from a round number to a round number."""
        step = self._step
        low, high = math.floor(self.low / step + 1e-9) * step, math.ceil(self.high / step - 1e-9) * step
        wider = _Scale(low, high, self._begin, self._end)
        wider._step = step
        return wider

    def ticks(self) -> list[float]:
        """Round numbers on the scale."""
        first, last = math.ceil(self.low / self._step - 1e-9), math.floor(self.high / self._step + 1e-9)
        return [round(self._step * number, 12) for number in range(first, last + 1)]


def _step_of(span: float) -> float:
    """The least of 1, 2, 2.5, 5 and 10, times a power of ten, of which six or fewer make the span."""
    least = span / 6
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * size for size in (1, 2, 2.5, 5, 10, 20) if power * size >= least * 0.999)


def _grid(high: _Scale) -> str:
    return "".join(
        f'<line x1="{_LEFT}" y1="{high(number):.1f}" x2="{_WIDTH - _RIGHT}" y2="{high(number):.1f}" stroke="#ddd"/>'
        f'<text x="{_LEFT - 6}" y="{high(number) + 4:.1f}" text-anchor="end">{number:.3g}</text>'
        for number in high.ticks()
    )


def _figure(
    title: str, told: str, parts: Sequence[str], height: float, *, x: str, y: str, names: Sequence[str],
    width: int = _WIDTH,
) -> str:  # fmt: skip
    """A figure with its drawing, its legend, and its numbers for those who do not see it."""
    legend = "".join(
        f'<span class="key"><svg width="28" height="10" aria-hidden="true"><line x1="0" y1="5" x2="28" y2="5" '
        f'stroke="{_STYLES[k % len(_STYLES)][0]}" stroke-width="3" stroke-dasharray="{_STYLES[k % len(_STYLES)][1]}"/>'
        f"</svg>{escape(name)}</span>"
        for k, name in enumerate(names)
    )
    axes = ", ".join(escape(text) for text in (f"across: {x}" if x else "", f"up: {y}" if y else "") if text)
    return (
        f"<figure><figcaption>{escape(title)}{f' <small>({axes})</small>' if axes else ''} {legend}</figcaption>"
        f'<div class={"wide" if width > _SLIM else "slim"}><svg role="img" viewBox="0 0 {width} {height:.0f}">'
        f"<title>{escape(title)}</title>"
        f"<desc>{escape(told)}</desc>{''.join(parts)}</svg></div></figure>"
    )
