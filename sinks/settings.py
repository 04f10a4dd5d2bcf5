"""The sink's settings: the only place in this room that reads the environment.

Every setting is an environment variable `DAYONE_...`; options of the command line are given as overrides and win.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from personas.connection import KafkaSettings
from personas.errors import SettingsError
from personas.settings import describe_faults
from sinks.place import Place, place_of

#: What a training set says of its terms where nothing was stated.
NO_LICENSE = "None stated: ask whoever gave you this set"


class SinkSettings(KafkaSettings, BaseSettings):
    """What can be set, with its unit; names in capitals behind DAYONE_ are the variables."""

    model_config = SettingsConfigDict(env_prefix="DAYONE_", frozen=True, extra="ignore", env_ignore_empty=True)

    store: str = Field(
        "./dayone.duckdb", min_length=1,
        description="The DuckDB file, or ducklake:sqlite:FILE, or ducklake:postgres:CONNECTION",
    )  # fmt: skip
    store_data_path: str = Field("", description="Where a new lake keeps its files; empty: beside an SQLite catalogue")
    store_password: SecretStr = Field(SecretStr(""), description="PostgreSQL's password for a lake's catalogue")
    store_password_file: Path | None = Field(None, description="A file that holds that password alone")
    store_memory_limit: str = Field(
        "256MB", pattern=r"^\d+(\.\d+)?\s?[KMGT]i?B$", description="Memory that DuckDB may take, e.g. 256MB"
    )
    sink_group: str = Field("", description="Consumer group for lag monitors; empty: dayone-sink-<product>")
    sink_batch_rows: int = Field(122_880, ge=1, le=1_228_800, description="Rows of a table per transaction at most")
    sink_batch_seconds: float = Field(
        1.0, gt=0, le=60, description="Seconds until what has come is committed, unless more is waiting"
    )
    sink_prefetch_mib: int = Field(16, ge=1, le=4096, description="MiB of messages read ahead at most")
    sink_max_message_bytes: int = Field(1024 * 1024, ge=1024, description="Longer messages become dead letters")
    sink_connect_seconds: float = Field(30.0, gt=0, description="Seconds after which an absent broker is an error")
    sink_drain_seconds: float = Field(30.0, ge=0, description="Seconds for what is on the topics when stopped")
    sink_metrics_port: int = Field(9102, ge=0, le=65535, description="Port of /metrics and /health; 0: a free one")
    metrics_host: str = Field("127.0.0.1", min_length=1, description="Address of /metrics and /health")
    sink_serve: bool = Field(True, description="Answer readers (`dayone sql`) while the sink writes")
    sink_serve_host: str = Field("127.0.0.1", min_length=1, description="Address on which readers are answered")
    sink_serve_port: int = Field(0, ge=0, le=65535, description="Port on which readers are answered; 0: a free one")
    keys: str = Field("~/.config/dayone", min_length=1, description="Directory of the key that signs training sets")
    publisher: str = Field("unnamed", min_length=1, description="Who publishes training sets, for their manifests")
    license: str = Field(NO_LICENSE, min_length=1, description="Their terms: an SPDX identifier, an address or a text")
    retention: str = Field("Not stated", min_length=1, description="How long training sets may be kept, in words")
    openlineage: str = Field("", description="Where lineage of builds goes: file:PATH, kafka:TOPIC; empty: nowhere")
    log_format: Literal["text", "json"] = Field("text", description="text or json")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug to error")

    @property
    def place(self) -> Place:
        """Where the store is. StoreError where it can be nowhere, SettingsError where its password cannot be read."""
        return place_of(self.store, self.store_data_path, self._catalogue_password())

    def _catalogue_password(self) -> str:
        if (file := self.store_password_file) is None:
            return self.store_password.get_secret_value()
        try:
            return file.read_text("utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise SettingsError(f"DAYONE_STORE_PASSWORD_FILE: {file} cannot be read ({error}).") from None


def load_settings(**overrides: Any) -> SinkSettings:
    """Settings from the environment; overrides that are not None win. SettingsError names what is wrong."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return SinkSettings(**given)
    except ValidationError as error:
        raise SettingsError(describe_faults(error, SinkSettings, given)) from None


def moment_of(text: str, option: str) -> datetime:
    """An ISO date or time given as an option, UTC unless it says otherwise. SettingsError where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option}: found {text!r}, expected a time such as 2026-01-31T08:00Z.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
