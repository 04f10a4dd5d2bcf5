"""Asks a store for what papers need: through the sink that writes it, or the file. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from personas.sql import literal
from sinks.attach import opened
from sinks.audit_spool import waiting
from sinks.settings import load_settings
from sinks.training.papers.tracing import Ask
from sinks.training.papers.verify import Evidence, evidence_of

if TYPE_CHECKING:
    from sinks.attach import Asked


@contextmanager
def asking(store: str | None) -> Iterator[Ask]:
    """Something that answers one statement after the other."""
    with opened(load_settings(store=store).place) as asked:
        yield lambda sql, values: _rows(asked, sql, values)


def evidence_in(store: str | None) -> Evidence:
    """What a store knows of runs and builds, with what waits beside it."""
    place = load_settings(store=store).place
    with opened(place) as asked:
        notes = [(note.action, note.subject, dict(note.details)) for note in waiting(place)]
        return evidence_of(lambda sql: [tuple(row.values()) for row in _rows(asked, sql, ())], notes)


def _rows(asked: Asked, sql: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """A sink answers whole statements without parameters, so they are written into the text, each as a literal."""
    pieces = sql.split("?")
    text = pieces[0] + "".join(literal(str(value)) + rest for value, rest in zip(values, pieces[1:], strict=True))
    return [dict(row) for row in asked.reader(text).read_all().to_pylist()]
