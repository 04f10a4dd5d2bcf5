"""The simulator's metrics, in a registry of their own: names, meanings, and how they follow from a run.

The home of prometheus-client in this room. Names begin with `dayone_simulator_`, units are base units (seconds,
bytes), labels are the pack's own vocabulary (event types, problems) and never a user, a persona or a run. `METRICS`
is the whole list, so that dashboards, alarms and documents can be tested against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from personas.topics import sessions_topic, users_topic
from simulator.producer import ProducerCounts

if TYPE_CHECKING:
    from simulator.run import Run


@dataclass(frozen=True)
class Metric:
    """One metric as Prometheus shows it; a counter's name ends with `_total`."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


SESSIONS = Metric("dayone_simulator_sessions_total", "counter", "Sessions whose summary was sent")
EVENTS = Metric("dayone_simulator_events_total", "counter", "Events sent, by type", ("type",))
USERS = Metric("dayone_simulator_users_total", "counter", "Users who signed up and were sent")
PROBLEMS = Metric("dayone_simulator_problems_planted_total", "counter", "Problems planted, by problem", ("problem",))
VIRTUAL_CLOCK = Metric("dayone_simulator_virtual_clock_seconds", "gauge", "Virtual time reached, as Unix time")
LAG = Metric("dayone_simulator_wall_clock_lag_seconds", "gauge", "How far a live run is behind; 0 in a backfill")
LATENCY = Metric("dayone_simulator_produce_latency_seconds", "gauge", "Mean time from sending to acknowledgement")
FAILURES = Metric("dayone_simulator_produce_failures_total", "counter", "Records given up after all retries")
QUEUE = Metric("dayone_simulator_produce_queue_messages", "gauge", "Records sent and not yet acknowledged")
BROKER_MEMORY = Metric(
    "dayone_simulator_embedded_broker_memory_bytes", "gauge", "Memory of the embedded broker; 0 with another broker"
)

METRICS = (SESSIONS, EVENTS, USERS, PROBLEMS, VIRTUAL_CLOCK, LAG, LATENCY, FAILURES, QUEUE, BROKER_MEMORY)


class Telemetry:
    """Shows a run to Prometheus. The run counts, this follows: counters rise to the totals that `observe` finds.

    One thread observes; `render` may be called from another.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._counters = {
            metric: Counter(metric.name, metric.help, metric.labels, registry=self.registry)
            for metric in METRICS
            if metric.kind == "counter"
        }
        self._gauges = {
            metric: Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
            for metric in METRICS
            if metric.kind == "gauge"
        }
        self._totals: dict[tuple[Metric, str], float] = {}

    def observe(self, run: Run, counts: ProducerCounts, broker_memory_bytes: int = 0) -> None:
        """Take over where the run and its producer stand."""
        simulation, product = run.simulation, run.simulation.pack.product
        progress = simulation.progress
        for event in product.events:
            self._rise(EVENTS, progress.events.get(event, 0), event)
        for problem in product.problems:
            self._rise(PROBLEMS, progress.problems.get(problem, 0), problem)
        self._rise(SESSIONS, progress.messages.get(sessions_topic(product.name), 0))
        self._rise(USERS, progress.messages.get(users_topic(product.name), 0))
        self._rise(FAILURES, counts.failed)
        self._gauges[VIRTUAL_CLOCK].set(run.identity.start.timestamp() + simulation.played_until / 1000)
        self._gauges[LAG].set(run.lag_seconds)
        self._gauges[LATENCY].set(counts.latency_seconds)
        self._gauges[QUEUE].set(counts.queued)
        self._gauges[BROKER_MEMORY].set(broker_memory_bytes)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)

    def _rise(self, metric: Metric, total: float, label: str = "") -> None:
        counter = self._counters[metric].labels(label) if metric.labels else self._counters[metric]
        counter.inc(max(0.0, total - self._totals.get((metric, label), 0.0)))
        self._totals[metric, label] = total
