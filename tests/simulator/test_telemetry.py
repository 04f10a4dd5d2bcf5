"""Metrics follow a run, by their published names, with labels from the pack alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from simulator.producer import ProducerCounts
from simulator.telemetry import METRICS, Telemetry


def run() -> Any:
    """What of a run is observed."""
    product = SimpleNamespace(
        name="shop", events={"product_viewed": 1, "order_completed": 1}, problems={"slow_page": 1, "crash": 1}
    )
    progress = SimpleNamespace(
        events={"product_viewed": 7},
        problems={"crash": 2},
        messages={"dayone.shop.sessions": 3, "dayone.shop.users": 2, "dayone.shop.events": 7},
    )
    simulation = SimpleNamespace(pack=SimpleNamespace(product=product), progress=progress, played_until=1_500)
    identity = SimpleNamespace(start=datetime(2026, 1, 1, tzinfo=UTC))
    return SimpleNamespace(simulation=simulation, identity=identity, lag_seconds=0.25)


def shown(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(telemetry.render().decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_run_is_shown() -> None:
    telemetry = Telemetry()
    telemetry.observe(run(), ProducerCounts(produced=12, failed=1, queued=5, latency_seconds=0.01), 4096)
    assert shown(telemetry) == {
        ("dayone_simulator_sessions_total",): 3,
        ("dayone_simulator_users_total",): 2,
        ("dayone_simulator_events_total", "product_viewed"): 7,
        ("dayone_simulator_events_total", "order_completed"): 0,
        ("dayone_simulator_problems_planted_total", "crash"): 2,
        ("dayone_simulator_problems_planted_total", "slow_page"): 0,
        ("dayone_simulator_virtual_clock_seconds",): datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 1.5,
        ("dayone_simulator_wall_clock_lag_seconds",): 0.25,
        ("dayone_simulator_produce_latency_seconds",): 0.01,
        ("dayone_simulator_produce_failures_total",): 1,
        ("dayone_simulator_produce_queue_messages",): 5,
        ("dayone_simulator_embedded_broker_memory_bytes",): 4096,
    }


def test_counters_rise_to_the_totals_and_gauges_follow() -> None:
    telemetry, current = Telemetry(), run()
    telemetry.observe(current, ProducerCounts(queued=5))
    telemetry.observe(current, ProducerCounts(queued=5))
    current.simulation.progress.events["product_viewed"] = 10
    current.simulation.played_until = 86_400_000
    telemetry.observe(current, ProducerCounts())
    found = shown(telemetry)
    assert found["dayone_simulator_events_total", "product_viewed"] == 10
    assert found["dayone_simulator_sessions_total",] == 3
    assert found["dayone_simulator_produce_queue_messages",] == 0
    assert found["dayone_simulator_virtual_clock_seconds",] == datetime(2026, 1, 2, tzinfo=UTC).timestamp()


def test_the_list_is_what_is_exported() -> None:
    registry = CollectorRegistry()
    Telemetry(registry)
    exported = {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation
        for family in registry.collect()
    }
    assert exported == {metric.name: metric.help for metric in METRICS}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_units_and_labels(metric: Any) -> None:
    assert re.fullmatch(r"dayone_simulator_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.kind == "counter" or metric.name.rsplit("_", 1)[1] in ("seconds", "bytes", "messages")
    assert set(metric.labels) <= {"type", "problem"}, "no users, no personas, no runs"
    assert metric.help


def test_two_registries_do_not_meet() -> None:
    one, two = Telemetry(), Telemetry()
    one.observe(run(), ProducerCounts())
    assert ("dayone_simulator_events_total", "product_viewed") not in shown(two)
