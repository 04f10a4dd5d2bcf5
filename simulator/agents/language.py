"""The seam between agents and language models: what is asked, what comes back, and who can answer.

A walker, a planner, a support conversation make `Request`s and read `Answer`s; they know no SDK, no price, no retry.
Whoever answers (the Anthropic client, a recording, an oracle in a test) implements `LanguageModel`. Plain frozen data,
so that a request has a fingerprint: the same request with the same sample number is the same question, and a recorded
answer may be given again.

The parts of a prompt go from the stable to the particular, because what two requests share at their beginning can be
cached by the provider: the answer's schema before all else, `system` (rules and product, the same for all), then
`context` (the persona), then `messages`. So a schema should be the same for all requests of a kind: a schema that
lists what is legal at this moment lets nothing be cached, and makes the provider compile a new grammar each time.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

_as_json = json.JSONEncoder(ensure_ascii=False).encode
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
#: For texts that many questions have in common.
_known_as_json = lru_cache(maxsize=4096)(_as_json)
Purpose = Literal["walk", "plan", "user_message", "assistant_message", "audit"]


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["user", "assistant"]
    text: str


class Request(BaseModel):
    """One question. `schema_name` and `answer_schema` (JSON schema of an object) say what the answer must be: the input
    of a tool that the model is made to call. `sample` tells apart repeated askings of the same question. `prompt` is
    the name and version of the prompt file that it was rendered from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    purpose: Purpose
    prompt: str
    system: str
    context: str
    messages: tuple[Message, ...]
    schema_name: str
    answer_schema: dict[str, Any]
    max_tokens: int = 512
    sample: int = 0

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that may change the answer: that of the canonical JSON of all fields but `purpose` and
        `prompt` (see `personas.provenance.fingerprint`), put together from its parts, which is three times as fast."""
        messages = ",".join(
            f'{{"role":"{message.role}","text":{_as_json(message.text)}}}' for message in self.messages
        )
        schema = _canonical(self.answer_schema)
        canonical = (
            f'{{"answer_schema":{schema},"context":{_known_as_json(self.context)},"max_tokens":{self.max_tokens},'
            f'"messages":[{messages}],"model":{_known_as_json(self.model)},"sample":{self.sample},'
            f'"schema_name":{_known_as_json(self.schema_name)},"system":{_known_as_json(self.system)}}}'
        )
        return hashlib.sha256(canonical.encode()).hexdigest()


class Usage(BaseModel):
    """Tokens as the provider counted them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


class Answer(BaseModel):
    """What came back: `content` fits the request's schema. `dollars` is what it cost (0 when it was replayed)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: dict[str, Any]
    model: str
    usage: Usage = Usage()
    dollars: float = 0.0
    replayed: bool = False


class LanguageModel(Protocol):
    """Answers requests. Any number may be under way at once. Raises TutorError kinds (see client.py)."""

    async def ask(self, request: Request) -> Answer:
        """The answer to one request."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
