"""The simulator's metrics, in a registry of their own: names, meanings, and how they follow from a run.

The home of prometheus-client in this room. Names begin with `dayone_simulator_`, or with `dayone_tutor_` for what a
language model does and costs; units are base units (seconds, bytes, dollars); labels are the pack's own vocabulary
(event types, problems), kinds and types, and never a user, a persona or a run. `METRICS` and `TUTOR_METRICS` are the
whole list, so that dashboards, alarms and documents can be tested against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from personas.topics import sessions_topic, users_topic
from simulator.producer import ProducerCounts

if TYPE_CHECKING:
    from simulator.agents.asking import AgentCounts
    from simulator.agents.budget import Budget
    from simulator.agents.counts import TutorCounts
    from simulator.agents.quality import Measure
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

NEAR_COPIES = Metric(
    "dayone_simulator_near_copies_refused_total",
    "counter",
    "Sessions of twins drawn again as too near to a real one",
)

METRICS = (SESSIONS, EVENTS, USERS, PROBLEMS, VIRTUAL_CLOCK, LAG, LATENCY, FAILURES, QUEUE, BROKER_MEMORY, NEAR_COPIES)

TUTOR_CALLS = Metric(
    "dayone_tutor_calls_total",
    "counter",
    "Calls to the language model, by how they ended: answered, or a fault",
    ("kind",),
)
TUTOR_TOKENS = Metric(
    "dayone_tutor_tokens_total", "counter", "Tokens billed, by type: input, output, cache_read, cache_write", ("type",)
)
TUTOR_DOLLARS = Metric("dayone_tutor_dollars_total", "counter", "Dollars spent, with those that may have been")
TUTOR_UNKNOWN = Metric(
    "dayone_tutor_unknown_dollars_total", "counter", "Of them, those of calls that were cut: maybe never billed"
)
TUTOR_TWICE = Metric(
    "dayone_tutor_maybe_billed_twice_total", "counter", "Calls tried again of which the first may have been billed"
)
TUTOR_REFUSED = Metric("dayone_tutor_over_budget_total", "counter", "Calls not made because of the ceiling of dollars")
TUTOR_REPLAYED = Metric("dayone_tutor_replayed_total", "counter", "Answers that came from recordings")
TUTOR_CONCURRENCY = Metric("dayone_tutor_concurrency_calls", "gauge", "Calls to the language model under way")
TUTOR_LEFT = Metric("dayone_tutor_left_dollars", "gauge", "Dollars left below the ceiling; +Inf without one")
TUTOR_CONVERSATIONS = Metric("dayone_tutor_conversations_total", "counter", "Conversations with support, spoken")
TUTOR_QUALITY = Metric(
    "dayone_tutor_quality_ratio", "gauge", "What is known to go wrong with what agents write, by measure", ("kind",)
)

AGENT_DECISIONS = Metric("dayone_tutor_decisions_total", "counter", "Decisions of agents about what a user does next")
AGENT_REFUSED = Metric(
    "dayone_tutor_refused_answers_total",
    "counter",
    "Answers of agents that the world refused, by kind; unknown_item: an item was made up",
    ("kind",),
)
AGENT_SESSIONS = Metric("dayone_tutor_sessions_total", "counter", "Sessions of agents, by how they ended", ("kind",))
AGENT_STEPPED_DOWN = Metric(
    "dayone_tutor_stepped_down_total", "counter", "Users who went on from tables because the money was used up"
)

TUTOR_METRICS = (
    AGENT_DECISIONS, AGENT_REFUSED, AGENT_SESSIONS, AGENT_STEPPED_DOWN,
    TUTOR_CALLS, TUTOR_TOKENS, TUTOR_DOLLARS, TUTOR_UNKNOWN, TUTOR_TWICE, TUTOR_REFUSED, TUTOR_REPLAYED,
    TUTOR_CONCURRENCY, TUTOR_LEFT, TUTOR_CONVERSATIONS, TUTOR_QUALITY,
)  # fmt: skip


class _Followed:
    """Metrics that follow totals counted elsewhere."""

    def __init__(self, metrics: tuple[Metric, ...], registry: CollectorRegistry) -> None:
        self._counters = {
            metric: Counter(metric.name, metric.help, metric.labels, registry=registry)
            for metric in metrics
            if metric.kind == "counter"
        }
        self._gauges = {
            metric: Gauge(metric.name, metric.help, metric.labels, registry=registry)
            for metric in metrics
            if metric.kind == "gauge"
        }
        self._totals: dict[tuple[Metric, str], float] = {}

    def _rise(self, metric: Metric, total: float, label: str = "") -> None:
        counter = self._counters[metric].labels(label) if metric.labels else self._counters[metric]
        counter.inc(max(0.0, total - self._totals.get((metric, label), 0.0)))
        self._totals[metric, label] = total


class Telemetry(_Followed):
    """Shows a run to Prometheus. The run counts, this follows: counters rise to the totals that `observe` finds.

    One thread observes; `render` may be called from another.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        super().__init__(METRICS, self.registry)

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
        self._rise(NEAR_COPIES, simulation.twins.told.refused if simulation.twins else 0)
        self._gauges[VIRTUAL_CLOCK].set(run.identity.start.timestamp() + simulation.played_until / 1000)
        self._gauges[LAG].set(run.lag_seconds)
        self._gauges[LATENCY].set(counts.latency_seconds)
        self._gauges[QUEUE].set(counts.queued)
        self._gauges[BROKER_MEMORY].set(broker_memory_bytes)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


class TutorTelemetry(_Followed):
    """Shows what a language model does and costs, in the registry of a run that is taught by one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(TUTOR_METRICS, registry)

    def observe(
        self, counts: TutorCounts, budget: Budget, agents: AgentCounts | None = None, quality: Sequence[Measure] = ()
    ) -> None:
        """Take over where the calls and their budget stand, and what was said."""
        self._rise(TUTOR_CONVERSATIONS, agents.conversations if agents is not None else 0)
        for measure in quality:
            if measure.figure is not None:
                self._gauges[TUTOR_QUALITY].labels(measure.name).set(measure.figure)
        if agents is not None:
            self._rise(AGENT_DECISIONS, agents.decisions)
            self._rise(AGENT_STEPPED_DOWN, agents.stepped_down)
            for kind, number in agents.refused.items():
                self._rise(AGENT_REFUSED, number, kind)
            for outcome, number in agents.outcomes.items():
                self._rise(AGENT_SESSIONS, number, outcome or "tables")
        for kind, number in counts.calls.items():
            self._rise(TUTOR_CALLS, number, kind)
        for kind, number in counts.tokens.items():
            self._rise(TUTOR_TOKENS, number, kind)
        self._rise(TUTOR_DOLLARS, budget.spent)
        self._rise(TUTOR_UNKNOWN, budget.unknown)
        self._rise(TUTOR_TWICE, counts.maybe_billed_twice)
        self._rise(TUTOR_REFUSED, budget.refused)
        self._rise(TUTOR_REPLAYED, counts.replayed)
        self._gauges[TUTOR_CONCURRENCY].set(counts.concurrency)
        self._gauges[TUTOR_LEFT].set(budget.left)
