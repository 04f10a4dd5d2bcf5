"""What the suite found, as a table for people and as JSON. Knows outcomes, nothing of how they came about."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.scenes import Outcome
from tests.faults.soak import ALLOWED_SHARE, Soak

MB = 1_000_000
_CUT = "network"


def kills_of(outcomes: list[Outcome]) -> int:
    """All SIGKILLs that struck: everything but cuts of the network."""
    return sum(count for one in outcomes for name, count in one.struck.items() if not name.startswith(_CUT))


def by_fault(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """A row for each fault on each kind of broker: how often it struck, in how many series, how many were exact."""
    struck: Counter[tuple[str, str]] = Counter()
    series: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        for name, count in outcome.struck.items():
            struck[name, outcome.broker] += count
            series.setdefault((name, outcome.broker), []).append(outcome)
    return [
        {
            "fault": name, "broker": broker, "struck": struck[name, broker], "series": len(ones),
            "exact": sum(one.good for one in ones),
            "result": "exact" if all(one.good for one in ones) else next(one.result for one in ones if not one.good),
        }
        for (name, broker), ones in sorted(series.items(), key=lambda each: (each[0][1], each[0][0]))
    ]  # fmt: skip


def as_json(seed: int, seconds: float, outcomes: list[Outcome], soak: Soak | None) -> str:
    """One object with everything."""
    found: dict[str, Any] = {
        "seed": seed, "seconds": round(seconds), "kills": kills_of(outcomes), "faults": by_fault(outcomes),
        "series": [
            {"series": one.series, "broker": one.broker, "planned": one.planned, "struck": one.struck.total(),
             "broker_loss_noticed": one.noticed, "client_crashes": one.crashed, "events": one.events,
             "seconds": round(one.seconds, 1), "result": one.result}
            for one in outcomes
        ],
    }  # fmt: skip
    if soak is not None:
        found["soak"] = {
            "seconds": soak.seconds, "sent": soak.sent, "stored": soak.stored, "distinct": soak.distinct,
            "memory": [
                {"process": one.name, "peak_mb": round(one.peak / MB, 1), "mean_mb": round(one.mean / MB, 1),
                 "growth": round(one.growth, 4), "flat": one.flat}
                for one in soak.memory
            ],
        }  # fmt: skip
    return json.dumps(found, indent=2)


def show(seed: int, seconds: float, outcomes: list[Outcome], soak: Soak | None) -> None:
    """Both tables, and a line that says how many kills there were."""
    console = Console(width=None if Console().is_terminal else 140)
    if outcomes:
        table = Table(title=f"Faults while events flow, seed {seed}")
        for name in ("fault", "broker", "struck", "series", "database afterwards"):
            table.add_column(name, justify="right" if name in ("struck", "series") else "left")
        for row in by_fault(outcomes):
            words = row["result"].split(": ")[0][:100]
            table.add_row(row["fault"], row["broker"], str(row["struck"]), str(row["series"]), words)
        console.print(table)
        exact = sum(one.good for one in outcomes)
        console.print(
            f"{kills_of(outcomes)} kills in {len(outcomes)} series over {seconds:.0f} s; {exact} series left exactly "
            "the rows of an undisturbed run: nothing lost, nothing twice, order kept within each user."
        )
        if crashes := sum(one.crashed for one in outcomes):
            console.print(f"{crashes} times a sink crashed within librdkafka when its broker had been replaced.")
    if soak is not None:
        table = Table(title=f"Soak of {soak.seconds:g} s at full load on Apache Kafka: resident memory, MB")
        for name in ("process", "peak", "mean of the second half", "growth in it", "flat"):
            table.add_column(name, justify="left" if name == "process" else "right")
        for one in soak.memory:
            table.add_row(
                one.name, f"{one.peak / MB:.0f}", f"{one.mean / MB:.0f}", f"{one.growth:+.1%}",
                "yes" if one.flat else f"no (bound {ALLOWED_SHARE:.0%})",
            )  # fmt: skip
        console.print(table)
        console.print(f"{soak.sent:,} events sent, {soak.stored:,} stored, {soak.distinct:,} of them different.")
