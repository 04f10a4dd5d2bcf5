"""Many questions that can wait: as message batches where the language model takes them, else all at once.

    outcomes = await ask_many(model, requests)      # in the order of the requests: an Answer or a TutorError each

A function and no method of LanguageModel, so that whoever implements that need not know of batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.agents.batches import BatchStore, Kept, Outcome, all_at_once, ignore
from simulator.agents.language import LanguageModel, Request


async def ask_many(
    model: LanguageModel, requests: Sequence[Request], store: BatchStore | None = None, kept: Kept = ignore
) -> list[Outcome]:
    """The outcomes of the requests. A failed question is a TutorError in its place; one is raised only when nothing can
    be asked at all. `store` and `kept` are for a model that records."""
    own: Any = getattr(model, "ask_many", None)
    if own is None:
        return await all_at_once(model.ask, requests, kept)
    outcomes: list[Outcome] = await (own(requests) if store is None else own(requests, store, kept))
    return outcomes
