"""What can go wrong with a call, and what is done about it: one table, in plain data. Knows no SDK.

    kind                what happened                              tried again       then it ends
    rate_limited        429                                        yes               the session
    overloaded          529                                        yes               the session
    server_error        500 and other 5xx, 408, 409                yes               the session
    timeout             no answer in time; may have been billed    yes               the session
    connection          cut; may have been billed                  yes               the session
    no_connection       nobody there; nothing was asked            yes               the session
    invalid_answer      not JSON, or does not fit the schema       twice             the session
    truncated           max_tokens reached                         twice, doubled    the question
    context_overflow    400 about length, or the window is full    no                the question
    too_large           413                                        no                the question
    expired             a batch ended before this was answered     yes               the session
    canceled            somebody cancelled the batch               no                the session
    refusal             200 with stop_reason `refusal`             no                the session
    bad_request         400 and other 4xx                          no                the session
    authentication      401                                        no                the tutor
    payment             402                                        no                the tutor
    permission          403                                        no                the tutor
    not_found           404: no such model or address              no                the tutor
    budget              the ceiling is reached                     no                the tutor
    spending            the file of spending cannot be used        no                the tutor
    not_recorded        replaying, and there is no recording       no                the tutor

An error status is not billed. What was cut or took too long may have been: its reservation counts as spent, and trying
it again is counted as possibly billed twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from personas.errors import TutorError

Scope = Literal["question", "session", "tutor"]


@dataclass(frozen=True)
class Verdict:
    """What one kind of failure means. `slows` says that the provider wants fewer calls."""

    kind: str
    scope: Scope
    again: Literal["no", "yes", "for a valid answer", "with more room"] = "no"
    maybe_billed: bool = False
    slows: bool = False
    hint: str = ""


RATE_LIMITED = Verdict("rate_limited", "session", "yes", slows=True)
OVERLOADED = Verdict("overloaded", "session", "yes", slows=True)
SERVER_ERROR = Verdict("server_error", "session", "yes")
TIMEOUT = Verdict("timeout", "session", "yes", maybe_billed=True, hint="See DAYONE_TUTOR_TIMEOUT_SECONDS.")
CONNECTION = Verdict("connection", "session", "yes", maybe_billed=True)
NO_CONNECTION = Verdict("no_connection", "session", "yes", hint="Is ANTHROPIC_BASE_URL right, and the network there?")
INVALID_ANSWER = Verdict("invalid_answer", "session", "for a valid answer")
TRUNCATED = Verdict("truncated", "question", "with more room")
CONTEXT_OVERFLOW = Verdict("context_overflow", "question")
TOO_LARGE = Verdict("too_large", "question")
EXPIRED = Verdict("expired", "session", "yes")
CANCELED = Verdict("canceled", "session")
REFUSAL = Verdict("refusal", "session")
BAD_REQUEST = Verdict("bad_request", "session")
AUTHENTICATION = Verdict("authentication", "tutor", hint="Set ANTHROPIC_API_KEY, or ANTHROPIC_API_KEY_FILE, to a key.")
PAYMENT = Verdict("payment", "tutor", hint="The account has no credit left.")
PERMISSION = Verdict("permission", "tutor", hint="The key may not use this model or address.")
NOT_FOUND = Verdict("not_found", "tutor", hint="Is DAYONE_TUTOR_MODEL a model that ANTHROPIC_BASE_URL has?")

VERDICTS = (
    RATE_LIMITED, OVERLOADED, SERVER_ERROR, TIMEOUT, CONNECTION, NO_CONNECTION, INVALID_ANSWER, TRUNCATED,
    CONTEXT_OVERFLOW, TOO_LARGE, EXPIRED, CANCELED, REFUSAL, BAD_REQUEST, AUTHENTICATION, PAYMENT, PERMISSION,
    NOT_FOUND,
)  # fmt: skip

_OF_STATUS = {
    400: BAD_REQUEST, 401: AUTHENTICATION, 402: PAYMENT, 403: PERMISSION, 404: NOT_FOUND, 408: SERVER_ERROR,
    409: SERVER_ERROR, 413: TOO_LARGE, 429: RATE_LIMITED, 529: OVERLOADED,
}  # fmt: skip
#: How servers say that a prompt is longer than they can read: Anthropic, llama.cpp, vLLM.
_TOO_LONG = (
    "prompt is too long",
    "exceed context",
    "exceeds the available context",
    "context length",
    "context window",
)
#: The status that would go with an error's type, for results of batches, which have none.
_STATUS_OF_TYPE = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "timeout_error": 504,
    "overloaded_error": 529,
}  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A call that gave no answer: its verdict, what the server said, and how long it asked us to wait (seconds)."""

    verdict: Verdict
    message: str
    retry_after: float | None = None


def verdict_of_status(status: int, message: str) -> Verdict:
    """What an error status means. The message matters for 400 alone, where it may be about the prompt's length."""
    if status == 400 and any(words in message.lower() for words in _TOO_LONG):
        return CONTEXT_OVERFLOW
    if status >= 500:
        return _OF_STATUS.get(status, SERVER_ERROR)
    return _OF_STATUS.get(status, BAD_REQUEST)


def verdict_of_type(kind: str, message: str) -> Verdict:
    """What an error type of the Messages API means."""
    return verdict_of_status(_STATUS_OF_TYPE.get(kind, 500), message)


def error_of(failure: Failure, tries: int) -> TutorError:
    """The error that people and walkers see when a failure is final."""
    verdict = failure.verdict
    times = f" ({tries} tries)" if tries > 1 else ""
    return TutorError(
        f"The language model did not answer: {verdict.kind.replace('_', ' ')}{times}: {failure.message}",
        kind=verdict.kind,
        scope=verdict.scope,
        hint=verdict.hint,
    )
