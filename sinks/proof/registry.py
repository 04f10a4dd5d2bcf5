"""Every measure, found by itself: a new one is a class in a module of `measures/` and nothing else."""

from __future__ import annotations

from functools import cache

from sinks.proof import measures
from sinks.proof.metric import Metric
from sinks.training.discovery import instances


@cache
def all_metrics() -> dict[str, Metric]:
    """One instance of each measure by name, in alphabetical order."""
    return instances(measures, "name", "goal", "compute")
