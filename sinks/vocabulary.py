"""What the sink understands of a product's messages: which types each topic has, and what their data decode into.

Made from a pack once, when a sink starts; plain values. Knows no message, no Kafka, no database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from personas import topics
from personas.event import DATA_TYPES, RUN, SESSION, SESSION_LABEL, USER, USER_LABEL, SessionLabel, property_struct

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
        events, sessions, users, labels, runs = topics.data_topics(self.product)
        return {
            events: tuple(self.events), sessions: (SESSION,), users: (USER,), labels: (SESSION_LABEL, USER_LABEL),
            runs: (RUN,),
        }  # fmt: skip


def vocabulary_of(pack: Pack) -> Vocabulary:
    """The vocabulary that a pack declares."""
    events = {
        name: property_struct(name, {key: (spec.type, spec.required) for key, spec in event.properties.items()})
        for name, event in pack.product.events.items()
    }
    return Vocabulary(pack.product.name, pack.product.item_property, events)


class StoredSessionLabel(SessionLabel, frozen=True):
    """A session label whose long lists stay the JSON text they are: nothing here looks into them."""

    problems: msgspec.Raw  # type: ignore[assignment]
    slates: msgspec.Raw  # type: ignore[assignment]


LABELS: dict[str, type[msgspec.Struct]] = {SESSION_LABEL: StoredSessionLabel, USER_LABEL: DATA_TYPES[USER_LABEL]}
