"""From settings to a language model: the one place where client, budget and recordings are put together."""

from __future__ import annotations

from personas.errors import TutorError
from simulator.agents.budget import Budget
from simulator.agents.connection import TutorSettings
from simulator.agents.counts import TutorCounts
from simulator.agents.language import LanguageModel
from simulator.agents.prices import price_table


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
            hint="pip install 'anthropic[aiohttp]'",
        ) from None
