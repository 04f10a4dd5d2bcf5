"""Gate: a run does what its pack says that its people do.

What to expect comes with the store: when a sink takes a pack over, it writes down what the personas declare of the
hours of the week and of sessions per week (the table `expectations`, of that version of the pack). Other ways were
weighed: the simulator's own computation (`dayone explain`) would have to travel in the manifest, and a run that was
poisoned with its manifest would pass; the other runs of the pack are what the gate on poisoned runs looks at, and of
the first run there are none. So here hours and rates, there the mix of events.

The figure is the larger of two, each a share: half the sum of differences between the hours of the day at which
sessions began and those declared (total variation), less what sampling explains of it (its mean under the declared
hours, sum sqrt(2 p (1 - p) / (pi n)) / 2); and how far sessions per week are from those declared, on a scale where four
times as many or a quarter is 1. Declared hours are weighed by how often a run saw each hour of the week. How often
users come lies between two figures: sessions after the first by the time from a user's first session to the end of the
run (too few a week, because some have left) and by the time from the first session to the last (too many, because a
pause that the end cut off is not seen). A declared rate between the two is no drift.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from sinks.training.gates.gate import Evidence, Found, Stage, worst

#: Sessions below which a run is too short to tell.
FEWEST = 500
HOUR_MS = 3_600_000
WEEK_HOURS = 168

_HOURS = """
    SELECT run_id, epoch_ms(date_trunc('hour', started)) // 3600000 AS hour, count(*) AS sessions
    FROM sessions SEMI JOIN chosen_runs USING (run_id) WHERE product = ? GROUP BY ALL"""
_RATES = """
    SELECT run_id, sum(sessions - 1)::DOUBLE AS more, sum(epoch(last - first)) / 604800 AS least,
           sum(epoch(until - first)) / 604800 AS most
    FROM (SELECT run_id, user_id, count(*) AS sessions, min(started) AS first, max(started) AS last,
                 max(max(started)) OVER (PARTITION BY run_id) AS until
          FROM sessions SEMI JOIN chosen_runs USING (run_id) WHERE product = ? GROUP BY run_id, user_id)
    GROUP BY run_id"""


class DriftGate:
    """Implements Gate."""

    name: ClassVar[str] = "drift"
    stage: ClassVar[Stage] = "runs"
    checks: ClassVar[str] = "runs whose hours and session rates are others than their pack declares"
    unit: ClassVar[str] = "away from what is declared"
    threshold: ClassVar[float] = 0.25

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """See Gate."""
        store, product = evidence.store, evidence.product
        declared = store.query(
            "SELECT measure, place, value, pack_fingerprint FROM expectations WHERE product = ? ORDER BY ALL",
            [product],
        ).to_pylist()
        if not declared:
            return 0.0, (), "the store does not know what the pack declares: start `dayone sink` on it once"
        hours = np.array([row["value"] for row in declared if row["measure"] == "hour_of_week"])
        [rate] = [row["value"] for row in declared if row["measure"] == "sessions_per_week"]
        others = {
            row["run_id"] for row in store.query(
                "SELECT run_id FROM runs WHERE pack_fingerprint NOT IN ('', ?) OR generator = 'twin'",
                [declared[0]["pack_fingerprint"]],
            ).to_pylist()
        }  # fmt: skip
        seen: dict[str, dict[int, int]] = {}
        for row in store.query(_HOURS, [product]).to_pylist():
            seen.setdefault(row["run_id"], {})[row["hour"]] = row["sessions"]
        rates = {row["run_id"]: row for row in store.query(_RATES, [product]).to_pylist()}
        found, highest, skipped = [], 0.0, []
        for run, counts in sorted(seen.items()):
            if run in others or sum(counts.values()) < FEWEST:
                skipped.append(run)
                continue
            clock, told = _clock(counts, hours)
            figures = [(clock, told)]
            if (row := rates.get(run)) and row["least"]:
                figures.append(_pace(row["more"] / row["most"], row["more"] / row["least"], rate))
            for figure, words in figures:
                highest = max(highest, figure)
                if figure > threshold:
                    found.append(Found(run, figure, words))
        why = "too few sessions, of another version of the pack, or twins, who come as real users came"
        note = f"{why}: {', '.join(skipped)}" if skipped else ""
        return highest, worst(found), note


def _clock(counts: dict[int, int], hours: Any) -> tuple[float, str]:
    """How far the hours of the day are from those declared, in words with the hour that is furthest."""
    first, last = min(counts), max(counts)
    expected, observed = np.zeros(24), np.zeros(24)
    for hour in range(first, last + 1):  # hour 0 of the epoch is a Thursday's
        expected[hour % 24] += hours[(hour + 72) % WEEK_HOURS]
        observed[hour % 24] += counts.get(hour, 0)
    total = observed.sum()
    expected, observed = expected / max(expected.sum(), 1e-300), observed / total
    chance = np.sqrt(2 * expected * (1 - expected) / (math.pi * total)).sum() / 2
    gaps = observed - expected
    at = int(np.argmax(np.abs(gaps)))
    figure = max(0.0, float(np.abs(gaps).sum() / 2 - chance))
    return (
        figure,
        f"{figure:.0%} of its sessions begin at other hours than declared, most at {at:02}:00 ({gaps[at]:+.1%})",
    )


def _pace(low: float, high: float, declared: float) -> tuple[float, str]:
    """How far sessions per week, between `low` and `high`, are from those declared: 1 is four times, or a quarter."""
    figure = max(0.0, math.log(max(low, 1e-9) / declared, 4), math.log(declared / max(high, 1e-9), 4))
    return figure, f"its users come {low:.1f} to {high:.1f} times a week, declared {declared:.1f}"
