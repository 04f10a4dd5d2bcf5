"""A language model with a memory: what was answered before is answered again, for nothing.

    record   ask, and keep every answer; the same question in the same run has the same answer
    replay   ask nobody: what is not recorded is an error, so a run is repeated exactly or not at all
    auto     what is recorded is answered from there, everything else asked and kept

Errors are kept like answers, because a run goes another way after each. Repeated are: all of them in `replay`; in
`auto` those that would come again, such as refusals, and not those that pass, such as an overloaded provider.

The same question asked twice at once is asked once. A question that was sent is waited for and kept even if nobody
wants the answer any more, since it is paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from personas.errors import BudgetError, TutorError
from simulator.agents.counts import TutorCounts
from simulator.agents.language import Answer, LanguageModel, Request
from simulator.agents.many import ask_many
from simulator.agents.recordings import Mode, Outcome, Recordings

#: Kinds of errors that the same question would end with again.
LASTING = frozenset({"refusal", "invalid_answer", "truncated", "context_overflow", "too_large", "bad_request"})

#: How long `close` waits for answers that are paid for.
PATIENCE_SECONDS = 30.0


class RecordedModel:
    """Wraps a language model (None where nobody is asked: `replay`). Closes it and the recordings."""

    def __init__(
        self, model: LanguageModel | None, recordings: Recordings, mode: Mode, counts: TutorCounts | None = None
    ) -> None:
        if model is None and mode != "replay":
            raise ValueError(f"mode {mode} needs a language model")
        self.recordings, self.mode = recordings, mode
        self.counts = counts or TutorCounts()
        self.model = model
        #: In `auto`: errors that pass are repeated too. A run that goes on has to go the way that it went, or its
        #: topics would tell two stories. What would end the run again at the same place is asked again all the same.
        self.faithful = False
        self._under_way: dict[str, asyncio.Task[Outcome]] = {}

    async def ask(self, request: Request) -> Answer:
        """The recorded answer, or a new one that is recorded."""
        fingerprint = request.fingerprint
        if found := self.recorded(fingerprint):
            return self._given(found)
        if self.mode == "replay" or self.model is None:
            raise missing(request, self.recordings)
        task = self._under_way.get(fingerprint)
        if first := task is None:
            task = asyncio.create_task(self._ask_and_keep(request, fingerprint))
            self._under_way[fingerprint] = task
            task.add_done_callback(lambda _: self._under_way.pop(fingerprint, None))
        outcome = await asyncio.shield(task)
        return self._given(outcome, shared=not first)

    async def ask_many(self, requests: Sequence[Request]) -> list[Outcome]:
        """The outcomes of requests that can wait, in their order: from the recordings, and what is not there as
        message batches where the model takes them. What an earlier process has handed in is fetched."""
        found: dict[str, Outcome] = {}
        for request in requests:
            if outcome := self.recorded(request.fingerprint):
                found[request.fingerprint] = outcome
                self.counts.replayed += isinstance(outcome, Answer)
        missed = {request.fingerprint: request for request in requests if request.fingerprint not in found}
        if missed and self.model is None:
            raise missing(next(iter(missed.values())), self.recordings)
        if missed and self.model is not None:
            outcomes = await ask_many(self.model, list(missed.values()), self.recordings, self.keep)
            found.update(zip(missed, outcomes, strict=True))
        return [found[request.fingerprint] for request in requests]

    def recorded(self, fingerprint: str) -> Outcome | None:
        """What this mode answers from the recordings; None where it has to be asked."""
        found = self.recordings.find(fingerprint, of_this_run=self.mode == "record")
        if self.mode == "auto" and isinstance(found, TutorError) and found.kind not in LASTING:
            if self.faithful and (found.scope != "tutor" or isinstance(found, BudgetError)):
                return found
            return self.recordings.find(fingerprint, of_this_run=True)
        return found

    def keep(self, request: Request, outcome: Outcome) -> None:
        """Write down how a question of this run ended."""
        self.recordings.keep(request, outcome)
        self.counts.recorded += 1

    async def close(self) -> None:
        """Wait for what is under way (not for ever), then let go of the model and the file."""
        if under_way := set(self._under_way.values()):
            _, late = await asyncio.wait(under_way, timeout=PATIENCE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        try:
            if self.model is not None:
                await self.model.close()
        finally:
            self.recordings.close()

    async def _ask_and_keep(self, request: Request, fingerprint: str) -> Outcome:
        assert self.model is not None
        try:
            outcome: Outcome = await self.model.ask(request)
        except TutorError as error:
            outcome = error
        self.keep(request, outcome)
        return outcome

    def _given(self, outcome: Outcome, shared: bool = True) -> Answer:
        """An outcome as the caller gets it. `shared`: somebody else has paid for it."""
        if isinstance(outcome, TutorError):
            raise outcome
        if shared:
            self.counts.replayed += 1
            if outcome.replayed:
                return outcome
            return outcome.model_copy(update={"dollars": 0.0, "replayed": True})
        return outcome


def missing(request: Request, recordings: Recordings) -> TutorError:
    """The error of a question that nobody has recorded."""
    return TutorError(
        f"No recording of a {request.purpose} question (prompt {request.prompt}, model {request.model}, sample "
        f"{request.sample}, fingerprint {request.fingerprint[:12]}) in {recordings.path}.",
        kind="not_recorded",
        scope="tutor",
        hint="The recordings are of another pack, prompt, model or seed. DAYONE_TUTOR_RECORDING_MODE=auto asks for "
        "what is missing.",
    )
