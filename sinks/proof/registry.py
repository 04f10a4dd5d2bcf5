"""Every measure, found by itself: a new one is a class in a module of `measures/` and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sinks.proof import measures
from sinks.proof.metric import Metric
from sinks.training.discovery import instances, named


@cache
def all_metrics() -> dict[str, Metric]:
    """One instance of each measure by name, in alphabetical order."""
    return instances(measures, "name", "goal", "compute")


def named_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """The names, where each is that of a measure; TrainingError with the nearest one otherwise."""
    return tuple(named("measure", name, all_metrics(), "docs/proof.md tells what each is.").name for name in names)
