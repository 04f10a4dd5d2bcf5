"""Charts of a proof: nothing is cut off, and axes have round numbers."""

from __future__ import annotations

import re

import pytest

from sinks.proof.charts import Mark, bars, intervals, lines
from sinks.proof.page import _FIRST

#: The width of a letter of 12 pixels, on the average of a text, in wide fonts.
LETTER = 7.0


def texts(chart: str) -> list[tuple[float, float, str]]:
    """Where each text of a chart begins and ends, and what it says."""
    found = []
    for attributes, said in re.findall(r"<text ([^>]*)>([^<]*)</text>", chart):
        x, anchor = float(re.findall(r'x="([\d.-]+)"', attributes)[0]), re.findall(r'anchor="(\w+)"', attributes)
        width = LETTER * len(said)
        left = x - width * {"middle": 0.5, "end": 1.0}.get(anchor[0] if anchor else "start", 0.0)
        found.append((left, left + width, said))
    return found


def width(chart: str) -> float:
    """How wide the drawing of a chart is."""
    return float(re.findall(r'role="img" viewBox="0 0 (\d+)', chart)[0])


def growth() -> str:
    labels = {1.0: "1 %", 2.0: "30 %", 3.0: "100 %"}
    points: list[tuple[float, float | None]] = [(1.0, -0.29), (2.0, 0.6), (3.0, 1.02)]
    return lines("t", {"real alone": points, "both": points}, x="share", y="skill", labels=labels)


def tasks() -> str:
    return intervals("t", [Mark(words, 0.9, 0.8, 1.2, 1.0) for words in _FIRST.values()], x="skill")


@pytest.mark.parametrize("chart", [growth(), tasks(), bars("t", ["a", "b"], {"s": [0.2, 0.013]}, y="share")])
def test_no_text_is_cut_off(chart: str) -> None:
    assert texts(chart) and all(left >= 0 and right <= width(chart) for left, right, _ in texts(chart))


def test_the_chart_that_managers_read_first_fits_a_phone() -> None:
    assert width(tasks()) <= 420 and 'class=slim' in tasks()


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((-0.29, 1.02), ["-0.5", "-0.25", "0", "0.25", "0.5", "0.75", "1", "1.25"]),
        ((0.1, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ((0.001, 0.0131), ["0", "0.0025", "0.005", "0.0075", "0.01", "0.0125", "0.015"]),
        ((0.0, 0.0), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
    ],
)
def test_axes_have_round_numbers_and_hold_all_values(values: tuple[float, float], ticks: list[str]) -> None:
    chart = lines("t", {"a": [(1.0, values[0]), (2.0, values[1])]}, x="", y="", labels={1.0: "one", 2.0: "two"})
    assert [said for _, _, said in texts(chart) if said not in ("one", "two")] == ticks


def test_lines_that_meet_stand_side_by_side() -> None:
    circles = re.findall(r'<circle cx="([\d.]+)"', growth())
    assert len(set(circles)) == len(circles) == 6
