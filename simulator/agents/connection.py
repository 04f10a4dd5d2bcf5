"""Which language model is asked, where, with which key: the settings as people write them.

The simulator's settings inherit these; nothing here reads the environment. The key is pydantic's SecretStr, shows as
`**********` wherever it is printed, and leaves it only towards the SDK.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from personas.errors import SettingsError

DEFAULT_MODEL = "claude-haiku-5-5"


class TutorSettings(BaseModel):
    """Which language model is asked, where, and within which limits."""

    model_config = ConfigDict(populate_by_name=True)

    tutor_model: str = Field(DEFAULT_MODEL, min_length=1, description="The language model that plays the agents")
    tutor_prices: Path | None = Field(None, description="A file with prices, before those that Dayone knows")
    tutor_calls: int = Field(32, ge=1, le=1000, description="Calls under way at once, at most")
    tutor_timeout_seconds: float = Field(120.0, gt=0, le=3600, description="Seconds to wait for one answer")
    tutor_recordings: Path | None = Field(None, description="A folder to keep the model's answers in")
    tutor_recording_mode: Literal["record", "replay", "auto"] = Field(
        "auto", description="record, replay (ask nobody), or auto (ask for what is not recorded)"
    )
    tutor_spending: Path | None = Field(
        None, description="A file that remembers what runs have spent; beside the recordings, unless given"
    )
    tutor_batches: Literal["auto", "always", "never"] = Field(
        "auto", description="Message batches for what can wait (half the price); auto: at Anthropic's own address"
    )
    # Under the names that every tool of this API knows.
    anthropic_api_key: SecretStr = Field(
        SecretStr(""), validation_alias="ANTHROPIC_API_KEY", description="The key of the Anthropic API"
    )
    anthropic_api_key_file: Path | None = Field(
        None, validation_alias="ANTHROPIC_API_KEY_FILE", description="A file that holds the key and nothing else"
    )
    anthropic_base_url: str | None = Field(
        None, validation_alias="ANTHROPIC_BASE_URL", description="Another server that speaks the Messages API"
    )

    def anthropic_key(self) -> SecretStr:
        """The key, from where it was given. Empty where there is none; SettingsError where its file cannot be read."""
        file = self.anthropic_api_key_file
        if not file:
            return self.anthropic_api_key
        if self.anthropic_api_key.get_secret_value():
            raise SettingsError("ANTHROPIC_API_KEY and ANTHROPIC_API_KEY_FILE are both set; one is enough.")
        try:
            return SecretStr(file.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"ANTHROPIC_API_KEY_FILE: {file} cannot be read ({error}).") from None
