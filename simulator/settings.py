"""The simulator's settings: the only place in this room that reads the environment, once, when a command starts.

Every setting is an environment variable with the prefix DAYONE_ and (where it says so in `--help`) an option that
overrides it.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from personas.connection import KafkaConnection
from personas.errors import SettingsError
from personas.topics import DEFAULT_PARTITIONS


class SimulatorSettings(BaseSettings):
    """Where Kafka is, how much to buffer, where to serve metrics, how to log."""

    model_config = SettingsConfigDict(env_prefix="DAYONE_", frozen=True, extra="ignore")

    kafka_bootstrap_servers: str | None = None
    kafka_partitions: int = Field(DEFAULT_PARTITIONS, ge=1, le=1000)
    simulator_connect_seconds: float = Field(30.0, gt=0, le=3600)
    simulator_batch_events: int = Field(100_000, ge=1, le=5_000_000)
    simulator_checkpoints: bool = True
    #: A checkpoint after so many events, or later where it would take more than 2 % of the time or 1 % of the bytes.
    simulator_checkpoint_events: int = Field(500_000, ge=1)
    simulator_metrics_port: int = Field(9101, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    embedded_broker_memory_mb: int = Field(1024, ge=16)

    @property
    def connection(self) -> KafkaConnection:
        return KafkaConnection(bootstrap_servers=self.kafka_bootstrap_servers)


def load_settings(**options: Any) -> SimulatorSettings:
    """The settings from the environment, overridden by the options that are not None. SettingsError names what is
    wrong by the name of its variable."""
    try:
        return SimulatorSettings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = "DAYONE_" + "_".join(str(part) for part in fault["loc"]).upper()
        raise SettingsError(f"{name}: found {fault['input']!r}: {fault['msg']}") from None


def child_environment(**changes: str) -> dict[str, str]:
    """The environment for a process that this one starts: the same, with the given settings changed (names without
    the prefix)."""
    return {**os.environ, **{f"DAYONE_{name.upper()}": value for name, value in changes.items()}}
