"""The sink's metrics, in a registry of their own. Knows prometheus-client; no Kafka, no DuckDB.

Names begin with `dayone_sink_`, units are base units (seconds, bytes). Labels are few and fixed: table, reason,
topic, partition; never a user, a persona or a run.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sinks.batch import REASONS, Batch, Partition
from sinks.store import Committed

TABLES = ("events", "sessions", "users", "labels", "conversations", "runs")


class Telemetry:
    """Counts what the sink does; `render()` gives the text that Prometheus reads."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.rows = Counter("dayone_sink_rows", "Rows committed", ["table"], registry=self.registry)
        self.duplicates = Counter(
            "dayone_sink_duplicates", "Rows left out because they were stored already", ["table"],
            registry=self.registry,
        )  # fmt: skip
        self.dead_letters = Counter(
            "dayone_sink_dead_letters", "Messages that could not be decoded", ["reason"], registry=self.registry
        )
        self.refused = Counter(
            "dayone_sink_refused_batches", "Batches dropped because other sinks had taken their partitions over",
            registry=self.registry,
        )  # fmt: skip
        self.batch_messages = Histogram(
            "dayone_sink_batch_messages", "Messages per transaction", registry=self.registry,
            buckets=(1, 10, 100, 1_000, 10_000, 25_000, 50_000, 100_000, 250_000),
        )  # fmt: skip
        self.commit_seconds = Histogram(
            "dayone_sink_commit_seconds", "Seconds that a transaction took", registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )  # fmt: skip
        self.lag = Gauge(
            "dayone_sink_lag_messages", "Messages on the broker that are not committed yet", ["topic", "partition"],
            registry=self.registry,
        )  # fmt: skip
        self.database_bytes = Gauge(
            "dayone_sink_database_size_bytes", "Size of the database on disk", registry=self.registry
        )
        self.ready = Gauge("dayone_sink_ready", "1 while the sink reads from the broker", registry=self.registry)
        for table in TABLES:
            self.rows.labels(table)
            self.duplicates.labels(table)
        for reason in REASONS:
            self.dead_letters.labels(reason)

    def committed(self, batch: Batch, committed: Committed, seconds: float, database_bytes: int) -> None:
        """Count one transaction."""
        for table in TABLES:
            self.rows.labels(table).inc(committed.rows.get(table, 0))
            self.duplicates.labels(table).inc(committed.duplicates.get(table, 0))
        for letter in batch.dead_letters:
            self.dead_letters.labels(letter.reason).inc()
        self.batch_messages.observe(batch.messages)
        self.commit_seconds.observe(seconds)
        self.database_bytes.set(database_bytes)

    def lagging(self, lag: Mapping[Partition, int]) -> None:
        """Set the lag of every partition."""
        for (topic, partition), messages in lag.items():
            self.lag.labels(topic, str(partition)).set(messages)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
