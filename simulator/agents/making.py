"""From settings to a language model: the one place where client, budget and recordings are put together.

`TutorSettings` are the settings as people write them (the simulator's settings inherit them); nothing here reads the
environment. The key is pydantic's SecretStr and leaves it only towards the SDK.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, SecretStr

from personas.errors import SettingsError, TutorError
from simulator.agents.budget import Budget
from simulator.agents.counts import TutorCounts
from simulator.agents.language import LanguageModel
from simulator.agents.prices import price_table

DEFAULT_MODEL = "claude-haiku-5-5"


class TutorSettings(BaseModel):
    """Which language model is asked, where, and within which limits."""

    tutor_model: str = Field(DEFAULT_MODEL, min_length=1, description="The language model that plays the agents")
    tutor_prices: Path | None = Field(None, description="A file with prices, before those that Dayone knows")
    tutor_calls: int = Field(32, ge=1, le=1000, description="Calls under way at once, at most")
    tutor_timeout_seconds: float = Field(60.0, gt=0, le=3600, description="Seconds to wait for one answer")
    anthropic_api_key: SecretStr = Field(SecretStr(""), description="The key of the Anthropic API")
    anthropic_api_key_file: Path | None = Field(None, description="A file that holds the key and nothing else")
    anthropic_base_url: str | None = Field(None, description="Another server that speaks the Anthropic Messages API")

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


def make_language_model(settings: TutorSettings, budget: Budget, *, counts: TutorCounts | None = None) -> LanguageModel:
    """The language model that the settings describe, paid from `budget`, counted in `counts`. Make it in the event
    loop that uses it. SettingsError for a model without a price; TutorError where there is no way to ask any."""
    prices = price_table(settings.tutor_prices)
    prices[settings.tutor_model]
    key = settings.anthropic_key()
    if not key.get_secret_value() and not settings.anthropic_base_url:
        raise TutorError(
            "There is no key for a language model.",
            kind="authentication",
            scope="tutor",
            hint="Set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE, or ANTHROPIC_BASE_URL to a server that wants none.",
        )
    try:
        from simulator.agents.client import AnthropicModel

        return AnthropicModel(
            key,
            prices,
            budget,
            base_url=settings.anthropic_base_url,
            counts=counts,
            most_calls=settings.tutor_calls,
            timeout_seconds=settings.tutor_timeout_seconds,
        )
    except ModuleNotFoundError as error:
        raise TutorError(
            f"The library for language models is not installed: {error.name}.",
            scope="tutor",
            hint="pip install 'dayone[agents]'",
        ) from None
