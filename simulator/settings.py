"""The simulator's settings: the only place in this room that reads the environment, once, when a command starts.

Every setting is an environment variable with the prefix DAYONE_ and (where it says so in `--help`) an option that
overrides it.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from personas.connection import KafkaConnection, KafkaSettings
from personas.errors import SettingsError
from personas.settings import describe_faults
from personas.topics import DEFAULT_PARTITIONS
from simulator.agents.connection import TutorSettings


class SimulatorSettings(KafkaSettings, TutorSettings, BaseSettings):
    """Where Kafka is, how much to buffer, where to serve metrics, how to log, which language model to ask."""

    model_config = SettingsConfigDict(
        env_prefix="DAYONE_", frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    kafka_partitions: int = Field(DEFAULT_PARTITIONS, ge=1, le=1000, description="Partitions of each data topic")
    simulator_connect_seconds: float = Field(
        30.0, gt=0, le=3600, description="Seconds after which an absent broker is an error"
    )
    simulator_batch_events: int = Field(100_000, ge=1, le=5_000_000, description="Events played at once")
    simulator_checkpoints: bool = Field(True, description="Write checkpoints, from which a run goes on at once")
    simulator_checkpoint_events: int = Field(
        250_000, ge=1,
        description="Events between checkpoints; more where they would take over 2 % of the time or of the bytes",
    )  # fmt: skip
    simulator_metrics_port: int = Field(9101, ge=0, le=65535, description="Port of /metrics and /health; 0: a free one")
    metrics_host: str = Field("127.0.0.1", min_length=1, description="Address of /metrics and /health")
    log_format: Literal["text", "json"] = Field("text", description="text or json")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug to error")
    embedded_broker_memory_mb: int = Field(
        1024, ge=16, description="Memory (MB) of the embedded broker above which `dayone up` advises another one"
    )


def load_settings(**options: Any) -> SimulatorSettings:
    """The settings from the environment, overridden by the options that are not None. SettingsError names what is
    wrong by the name of its variable."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return SimulatorSettings(**given)
    except ValidationError as error:
        raise SettingsError(describe_faults(error, SimulatorSettings, given)) from None


def child_environment(connection: KafkaConnection, **changes: str) -> dict[str, str]:
    """The environment for a process that this one starts, which is to use this connection: the same, with the given
    settings changed (names without the prefix). To a broker without login, such as the embedded one, none is shown; nor
    is the key of a language model, which is for this process alone."""
    plain = connection.security_protocol == "PLAINTEXT"
    secured = ("DAYONE_KAFKA_SECURITY_", "DAYONE_KAFKA_SASL_", "DAYONE_KAFKA_SSL_")
    kept = {name: value for name, value in os.environ.items() if not (plain and name.upper().startswith(secured))}
    kept = {name: value for name, value in kept.items() if not name.upper().startswith("ANTHROPIC_")}
    return kept | {f"DAYONE_{name.upper()}": value for name, value in changes.items()}
