"""Metrics follow a run, by their published names, with labels from the pack alone."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from simulator.agents.asking import AgentCounts
from simulator.agents.budget import Budget
from simulator.agents.counts import TutorCounts
from simulator.agents.language import Usage
from simulator.agents.quality import Measure
from simulator.producer import ProducerCounts
from simulator.telemetry import METRICS, TUTOR_METRICS, Telemetry, TutorTelemetry


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
    twins = SimpleNamespace(told=SimpleNamespace(refused=7))
    pack = SimpleNamespace(product=product)
    simulation = SimpleNamespace(pack=pack, progress=progress, played_until=1_500, twins=twins)
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
        ("dayone_simulator_near_copies_refused_total",): 7,
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
    TutorTelemetry(registry)
    exported = {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation
        for family in registry.collect()
    }
    assert exported == {metric.name: metric.help for metric in METRICS + TUTOR_METRICS}


UNITS = ("seconds", "bytes", "messages", "calls", "dollars", "ratio")


@pytest.mark.parametrize("metric", METRICS + TUTOR_METRICS, ids=lambda metric: metric.name)
def test_names_units_and_labels(metric: Any) -> None:
    assert re.fullmatch(r"dayone_(simulator|tutor)_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.kind == "counter" or metric.name.rsplit("_", 1)[1] in UNITS
    assert set(metric.labels) <= {"type", "problem", "kind"}, "no users, no personas, no runs"
    assert metric.help


def test_two_registries_do_not_meet() -> None:
    one, two = Telemetry(), Telemetry()
    one.observe(run(), ProducerCounts())
    assert ("dayone_simulator_events_total", "product_viewed") not in shown(two)


def test_what_a_language_model_does_and_costs_is_shown() -> None:
    telemetry, counts = Telemetry(), TutorCounts()
    tutor = TutorTelemetry(telemetry.registry)
    agents = AgentCounts(decisions=9, conversations=4, stepped_down=1)
    agents.refused["unknown_item"], agents.outcomes["left"], agents.outcomes[""] = 2, 3, 1

    async def spend() -> None:
        budget = Budget(2.0)
        (await budget.reserve(0.5)).settle(0.25)
        (await budget.reserve(0.5)).lose()
        counts.calls.update(answered=3, rate_limited=1)
        counts.add_usage(Usage(input_tokens=10, output_tokens=4, cache_read_tokens=90), 0.25)
        counts.maybe_billed_twice, counts.replayed = 1, 5
        with counts.under_way():
            tutor.observe(counts, budget)
        tutor.observe(counts, budget, agents, [odd, unknown])

    odd = Measure("too_long", 0.5, "at most", 0.1, "first messages that are too long")
    unknown = Measure("texts_alike", None, "at most", 0.9, "how alike")
    asyncio.run(spend())
    found = {names: value for names, value in shown(telemetry).items() if names[0].startswith("dayone_tutor")}
    assert found == {
        ("dayone_tutor_calls_total", "answered"): 3, ("dayone_tutor_calls_total", "rate_limited"): 1,
        ("dayone_tutor_tokens_total", "input"): 10, ("dayone_tutor_tokens_total", "output"): 4,
        ("dayone_tutor_tokens_total", "cache_read"): 90, ("dayone_tutor_tokens_total", "cache_write"): 0,
        ("dayone_tutor_dollars_total",): 0.75, ("dayone_tutor_unknown_dollars_total",): 0.5,
        ("dayone_tutor_maybe_billed_twice_total",): 1, ("dayone_tutor_over_budget_total",): 0,
        ("dayone_tutor_replayed_total",): 5, ("dayone_tutor_concurrency_calls",): 0,
        ("dayone_tutor_left_dollars",): 1.25,
        ("dayone_tutor_decisions_total",): 9, ("dayone_tutor_refused_answers_total", "unknown_item"): 2,
        ("dayone_tutor_sessions_total", "left"): 3, ("dayone_tutor_sessions_total", "tables"): 1,
        ("dayone_tutor_stepped_down_total",): 1,
        ("dayone_tutor_conversations_total",): 4, ("dayone_tutor_quality_ratio", "too_long"): 0.5,
    }  # fmt: skip
