"""The event contract: a CloudEvents 1.0 JSON envelope in structured mode, and the ids in it.

    {"specversion": "1.0", "id": "<session>.<sequence>", "source": "/dayone/<product>", "type": "product_viewed",
     "time": "2026-01-02T03:04:05.123Z", "subject": "<user>", "synthetic": true, "runid": "...",
     "generator": "prior", "generation": 1, "sessionid": "<user>-<number>", "data": {...}}

`synthetic`, `runid`, `generator`, `generation` and `sessionid` are CloudEvents extension attributes: the value
stays true when it is dumped to a file. The record key is the subject. The record carries one header,
`content-type: application/cloudevents+json`. Times are UTC with milliseconds. A user id starts with the letter u
and has no personal data in it; a session id is `<user id>-<number>`, counted from 0 within the user; an event id
is `<session id>.<sequence>`, counted from 0 within the session, so ids are the same whenever a run is repeated.

The messages of the other topics wear the same envelope; their types and their `data` are the structs below.
Source: CloudEvents 1.0.2, JSON event format and Kafka protocol binding.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

CONTENT_TYPE = "application/cloudevents+json"
CONTENT_TYPE_HEADER: tuple[str, bytes] = ("content-type", CONTENT_TYPE.encode())
GENERATORS = ("prior", "student", "tutor", "twin")

#: How a session that an agent walked can have ended. `problem`: the product broke it off. `agent_error`: the agent gave
#: no answer that could be carried out; such a session goes into no training set. `stepped_down`: tables took over.
AGENT_ERROR = "agent_error"
OUTCOMES = ("left", "patience", "step_bound", "problem", AGENT_ERROR, "stepped_down")

SESSION = "dayone.session"
USER = "dayone.user"
SESSION_LABEL = "dayone.label.session"
USER_LABEL = "dayone.label.user"
CONVERSATION = "dayone.conversation"
RUN = "dayone.run"
CHECKPOINT = "dayone.checkpoint"
CHECKPOINT_PART = "dayone.checkpoint.part"


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """One message as it is on the wire. `data` stays undecoded JSON: what it holds depends on `type`.

    `sessionid` is absent on messages that belong to no session (users, runs).
    """

    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: str
    synthetic: bool
    runid: str
    generator: str
    generation: int
    data: msgspec.Raw
    sessionid: str | None = None


class SessionData(msgspec.Struct, frozen=True, gc=False):
    """`data` of a session summary: only what the product's own analytics could see."""

    number: int
    started: str
    ended: str
    events: int
    items: int
    device: str
    converted: bool
    value: float


class UserData(msgspec.Struct, frozen=True, gc=False):
    """`data` of a user record."""

    signed_up: str
    device: str


class ProblemLabel(msgspec.Struct, frozen=True, gc=False):
    """A planted problem: at which event of the session, and which."""

    sequence: int
    problem: str


class SlateLabel(msgspec.Struct, frozen=True):
    """Ground truth of one slate: which event of the session showed it, the name of the slate in the product, and per
    position the probability that the ranking policy put that item there. The probability that a user looks at a
    position is the same for every showing of a slate: it is declared in the product (`examination`)."""

    sequence: int
    slate: str
    propensities: list[float]


class SessionLabel(msgspec.Struct, frozen=True):
    """Ground truth of one session.

    `weight` is the importance weight of the session (likelihood under the declared problem rates over the
    likelihood under the rates played; 1 when problems are not over-sampled), `history_weight` the product of
    the user's session weights up to and including this one. `intent_reached` tells whether the goal event
    of the intent occurred; `satisfaction` is the user's level (0 to 1) after the session, `churned` whether
    the user has left for good. `outcome` tells how a session ended that an agent walked (see OUTCOMES), and
    is absent from all others.
    """

    persona: str
    intent: str
    intent_reached: bool
    satisfaction: float
    churned: bool
    weight: float
    history_weight: float
    problems: list[ProblemLabel]
    slates: list[SlateLabel]
    outcome: str | None = None


class UserLabel(msgspec.Struct, frozen=True):
    """Ground truth of one user: persona, trait values (0 to 1), taste by category (sums to 1), sessions a week."""

    persona: str
    traits: dict[str, float]
    tastes: dict[str, float]
    sessions_per_week: float


#: What can be wrong with an answer of support: it says what no help text says, says nothing, begs for pardon, is taken
#: from the help text of something else, or is longer than anybody reads.
Flaw = Literal["ungrounded", "evasive", "grovelling", "wrong_policy", "too_long"]
FLAWS: tuple[Flaw, ...] = get_args(Flaw)
#: How a conversation can end.
Outcome = Literal["solved", "handed_over", "given_up"]


class Turn(msgspec.Struct, frozen=True):
    """One message of a conversation with support, `seconds` after its first one. Of the assistant's: the help texts
    that it was `shown` (ids, best match first) and those that it answers from (`cited`)."""

    role: Literal["user", "assistant"]
    text: str
    seconds: float
    shown: list[str] = []
    cited: list[str] = []


class Verdict(msgspec.Struct, frozen=True):
    """One question of an audit: whether it was passed, and why."""

    passed: bool
    reason: str


class Audit(msgspec.Struct, frozen=True):
    """What a second look found: does all that the assistant said stand in the help texts, was the user helped, was it
    polite without begging for pardon. `auditor` is `rules`, or the id of the model that was asked."""

    auditor: str
    grounded: Verdict
    solved: Verdict
    polite: Verdict


class RejectedAnswer(msgspec.Struct, frozen=True):
    """An answer that would have been worse than the one given at the turn `turn` (counted from 0), and its flaw."""

    turn: int
    text: str
    flaw: Flaw


class ConversationData(msgspec.Struct, frozen=True):
    """`data` of a conversation with support.

    `reason` is the problem or event after which the user wrote, `sequence` its place in the session. `parameters` say
    how the user writes: mood, typing, and from 0 to 1 detail, patience and formality; `language` is ISO 639-1. The
    envelope's time is that of the first message, `ended` that of the last. `passed` tells whether the audit was passed
    as a whole.
    """

    sequence: int
    reason: str
    language: str
    outcome: Outcome
    ended: str
    parameters: dict[str, str | float]
    turns: list[Turn]
    audit: Audit
    passed: bool
    rejected: list[RejectedAnswer] = []


#: Which struct the `data` of each of Dayone's own message types has.
DATA_TYPES: dict[str, type[msgspec.Struct]] = {
    SESSION: SessionData,
    USER: UserData,
    SESSION_LABEL: SessionLabel,
    USER_LABEL: UserLabel,
    CONVERSATION: ConversationData,
}

_JSON_TYPES: dict[str, Any] = {
    "string": str,
    "number": float,
    "integer": int,
    "boolean": bool,
    "strings": list[str],
}


def property_struct(event: str, properties: dict[str, tuple[str, bool]]) -> type[msgspec.Struct]:
    """The struct that the `data` of a product event must decode into.

    `properties` maps a name to its JSON type (string, number, integer, boolean, strings) and whether it is
    required. Unknown properties are accepted and kept: a product's events grow over time.
    """
    fields: list[Any] = []
    for name, (kind, required) in properties.items():
        python = _JSON_TYPES[kind]
        fields.append((name, python) if required else (name, python | None, None))
    return msgspec.defstruct(f"{event}_data", fields, kw_only=True, frozen=True, gc=False)
