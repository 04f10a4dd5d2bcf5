"""How to reach Kafka: the settings that the simulator and the sink share. Reads nothing by itself."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class KafkaConnection(BaseModel):
    """Where the brokers are. `bootstrap_servers` is None where the embedded broker is to be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str | None = None

    def client_options(self) -> dict[str, str]:
        """The options that every librdkafka client gets, in librdkafka's words."""
        return {"bootstrap.servers": self.bootstrap_servers or "127.0.0.1:9092"}
