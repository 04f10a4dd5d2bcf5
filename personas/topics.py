"""The topics that the rooms meet on: names, keys, partitions and broker-side settings.

One place, so that the simulator that provisions them, the sink that reads them and the AsyncAPI
document that describes them cannot disagree. Knows no Kafka client.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RUNS = "dayone.runs"
CHECKPOINTS = "dayone.checkpoints"
CONTROL = "dayone.control"
CONTROL_REPLIES = "dayone.control.replies"

DEFAULT_PARTITIONS = 4
WEEK_MS = 7 * 24 * 3600 * 1000


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it should be: `key` says what its records are keyed by, `config` is the broker's own words."""

    name: str
    partitions: int
    key: str
    summary: str
    config: dict[str, str] = field(default_factory=dict)


def events_topic(product: str) -> str:
    return f"dayone.{product}.events"


def sessions_topic(product: str) -> str:
    return f"dayone.{product}.sessions"


def users_topic(product: str) -> str:
    return f"dayone.{product}.users"


def labels_topic(product: str) -> str:
    return f"dayone.{product}.labels"


def conversations_topic(product: str) -> str:
    return f"dayone.{product}.conversations"


def dead_letter_topic(topic: str) -> str:
    return f"{topic}.dlq"


def product_topics(product: str, partitions: int = DEFAULT_PARTITIONS) -> tuple[TopicSpec, ...]:
    """All topics of one product, data topics first, with their dead-letter topics last.

    The data topics have the same number of partitions and the same key, so the records of one user
    are in the same partition number of each.
    """
    kept = {"retention.ms": str(WEEK_MS), "cleanup.policy": "delete"}
    compacted = {"cleanup.policy": "compact"}
    data = (
        TopicSpec(events_topic(product), partitions, "user id", "What users did, as ordinary product events", kept),
        TopicSpec(sessions_topic(product), partitions, "user id", "One summary per finished session", kept),
        TopicSpec(users_topic(product), partitions, "user id", "The users who signed up, latest state", compacted),
        TopicSpec(labels_topic(product), partitions, "user id", "Ground truth, never shown to a model", kept),
        TopicSpec(conversations_topic(product), partitions, "user id", "What users and support wrote", kept),
    )
    dead = tuple(
        TopicSpec(dead_letter_topic(spec.name), 1, "none", f"What could not be decoded of {spec.name}", kept)
        for spec in data
    )
    return (*data, *shared_topics(), *dead)


def shared_topics() -> tuple[TopicSpec, ...]:
    """The topics that all products share: manifests and steering."""
    compacted = {"cleanup.policy": "compact"}
    short = {"retention.ms": str(WEEK_MS), "cleanup.policy": "delete"}
    return (
        TopicSpec(RUNS, 1, "run id and shard", "Run manifests, latest state of each", compacted),
        TopicSpec(CHECKPOINTS, 1, "run id, shard, slot and part", "State from which a simulator goes on", compacted),
        TopicSpec(CONTROL, 1, "run id", "Steering commands for a running simulator", short),
        TopicSpec(CONTROL_REPLIES, 1, "run id", "One reply per steering command", short),
    )


def data_topics(product: str) -> tuple[str, ...]:
    """The topics that a sink reads, the manifests included."""
    return (
        events_topic(product),
        sessions_topic(product),
        users_topic(product),
        labels_topic(product),
        conversations_topic(product),
        RUNS,
    )
