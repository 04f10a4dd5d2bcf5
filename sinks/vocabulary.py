"""What the sink understands of a product's messages: which types each topic has, and what their data decode into.

Made from a pack once, when a sink starts; plain values. Knows no message, no Kafka, no database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from personas import topics
from personas.event import (
    CONVERSATION,
    DATA_TYPES,
    GENERATORS,
    RUN,
    SESSION,
    SESSION_LABEL,
    USER,
    USER_LABEL,
    Envelope,
    SessionLabel,
    property_struct,
)

if TYPE_CHECKING:
    from personas.pack import Pack


@dataclass(frozen=True)
class Vocabulary:
    """What the sink needs to know of a product: its name, the property that holds the item's id (or None), and
    the struct that the data of each event type must decode into."""

    product: str
    item_property: str | None
    events: dict[str, type[msgspec.Struct]]

    @property
    def source(self) -> str:
        """The CloudEvents source of the product's messages."""
        return f"/dayone/{self.product}"

    @property
    def structs(self) -> dict[str, type[msgspec.Struct]]:
        """What the data of every message type decodes into (manifests apart: they are pydantic's)."""
        return {**DATA_TYPES, SESSION_LABEL: StoredSessionLabel, **self.events}

    @property
    def types(self) -> dict[str, tuple[str, ...]]:
        """The message types of each topic."""
        events, sessions, users, labels, conversations, runs = topics.data_topics(self.product)
        return {
            events: tuple(self.events), sessions: (SESSION,), users: (USER,), labels: (SESSION_LABEL, USER_LABEL),
            conversations: (CONVERSATION,), runs: (RUN,),
        }  # fmt: skip


def vocabulary_of(pack: Pack) -> Vocabulary:
    """The vocabulary that a pack declares."""
    events = {
        name: property_struct(name, {key: (spec.type, spec.required) for key, spec in event.properties.items()})
        for name, event in pack.product.events.items()
    }
    return Vocabulary(pack.product.name, pack.product.item_property, events)


def strict_envelope(source: str | None, types: tuple[str, ...]) -> type[msgspec.Struct]:
    """The envelope of the messages of one topic, narrower than the contract's: what can only be one of a few words is
    compared while it is read, which costs no string per message, and anything else does not decode."""
    narrow: dict[str, Any] = {"specversion": Literal["1.0"], "type": Literal[types], "generator": Literal[GENERATORS]}
    if source is not None:
        narrow["source"] = Literal[source]
    annotated = Envelope.__annotations__
    declared = msgspec.structs.fields(Envelope)
    kinds = [(each.name, narrow.get(each.name, each.type), each.default) for each in declared if each.name in annotated]
    columns = [(name, kind) if default is msgspec.NODEFAULT else (name, kind, default) for name, kind, default in kinds]
    return msgspec.defstruct("StrictEnvelope", columns, frozen=True, gc=False)


class StoredSessionLabel(SessionLabel, frozen=True):
    """A session label whose long lists stay the JSON text they are: nothing here looks into them."""

    problems: msgspec.Raw  # type: ignore[assignment]
    slates: msgspec.Raw  # type: ignore[assignment]


LABELS: dict[str, type[msgspec.Struct]] = {SESSION_LABEL: StoredSessionLabel, USER_LABEL: DATA_TYPES[USER_LABEL]}
#: What the column `kind` of the labels says.
LABEL_WORDS = {SESSION_LABEL: "session", USER_LABEL: "user"}
