"""Training sets for tests of what comes after the build: one run, known by its manifest, built and signed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sinks.audit_log import Note
from sinks.store import Store
from sinks.training.build import Built, Order, build
from sinks.training.papers.facts import Publisher
from sinks.training.papers.keys import SigningKey
from sinks.training.papers.papers import Papers
from sinks.training.registry import form_of, task_of
from tests.runs import filled_store, identity_of, tell_of_run

USERS, DAYS = 60, 6


def told_store() -> Store:
    """A database in memory with a run and its manifest."""
    store = filled_store("shop", users=USERS, days=DAYS)
    tell_of_run(store, identity_of("shop", users=USERS), days=DAYS)
    return store


def built_set(store: Store, out: Path, key: SigningKey | None = None, form: str = "parquet",
              keep: Callable[[Sequence[Note]], object] | None = None) -> Built:  # fmt: skip
    """A set of next events with its papers, told to the store's audit log."""
    task = task_of("next_event")
    papers = Papers(key=key, publisher=Publisher("Fictional Shop Ltd", "CC0-1.0", "two years"), keep=keep or store.note)
    return build(store, Order(task, task.options(), form=form_of(form)), out, papers=papers)
