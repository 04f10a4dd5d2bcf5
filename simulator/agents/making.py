"""From settings to a language model: the one place where client, budget and recordings are put together."""

from __future__ import annotations

from personas.errors import SettingsError, TutorError
from simulator.agents.budget import Budget
from simulator.agents.connection import TutorSettings
from simulator.agents.counts import TutorCounts
from simulator.agents.language import LanguageModel
from simulator.agents.prices import price_table
from simulator.agents.recordings import FILE, Recordings
from simulator.agents.replay import RecordedModel


def make_language_model(settings: TutorSettings, budget: Budget, *, counts: TutorCounts | None = None) -> LanguageModel:
    """The language model that the settings describe, paid from `budget`, counted in `counts`. Make it in the event
    loop that uses it, and close it. SettingsError for a model without a price or a setting that does not fit;
    TutorError where there is no way to ask any. Replaying needs no key, no network and no price."""
    counts = counts or TutorCounts()
    folder, mode = settings.tutor_recordings, settings.tutor_recording_mode
    if folder is None:
        if mode == "replay":
            raise SettingsError("DAYONE_TUTOR_RECORDING_MODE is replay, and DAYONE_TUTOR_RECORDINGS names no folder.")
        return _client(settings, budget, counts)
    if mode == "replay":
        return RecordedModel(None, Recordings(folder / FILE, writable=False), mode, counts)
    model = _client(settings, budget, counts)
    return RecordedModel(model, Recordings(folder / FILE), mode, counts)


def _client(settings: TutorSettings, budget: Budget, counts: TutorCounts) -> LanguageModel:
    prices = price_table(settings.tutor_prices)
    prices[settings.tutor_model]  # known, or an error before anything is asked
    key = settings.anthropic_key()
    if not key.get_secret_value() and not settings.anthropic_base_url:
        raise TutorError(
            "There is no key for a language model.",
            kind="authentication",
            scope="tutor",
            hint="Set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE, or ANTHROPIC_BASE_URL to a server that wants none.",
        )
    from simulator.agents.client import AnthropicModel

    return AnthropicModel(
        key,
        prices,
        budget,
        base_url=settings.anthropic_base_url,
        counts=counts,
        most_calls=settings.tutor_calls,
        timeout_seconds=settings.tutor_timeout_seconds,
        batches={"auto": None, "always": True, "never": False}[settings.tutor_batches],
    )
