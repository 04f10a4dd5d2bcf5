"""From settings to what the papers of a build need. The only place where the audit log and a build's store meet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sinks.audit_log import Note
from sinks.audit_recording import record
from sinks.settings import SinkSettings
from sinks.training.papers.facts import Publisher
from sinks.training.papers.keys import signing_key
from sinks.training.papers.papers import Papers

if TYPE_CHECKING:
    from sinks.store import Store

log = logging.getLogger("dayone.training")


def papers_of(settings: SinkSettings, *, unsigned: bool, done_with: Store) -> Papers:
    """Papers that are signed with the key of the settings, where there is one, and that write the audit log of the
    store at the end, when the read-only `done_with` is closed. TrainingError where the key cannot be used."""

    def keep(notes: Sequence[Note]) -> None:
        done_with.close()
        if not record(settings.place, notes):
            log.warning("%s is in use: the entry for its audit log waits beside it", settings.place.name)

    key = None if unsigned else signing_key(keys_of(settings))
    publisher = Publisher(settings.publisher, settings.license, settings.retention)
    return Papers(key=key, publisher=publisher, keep=keep)


def keys_of(settings: SinkSettings) -> Path:
    """The directory of the keys."""
    return Path(settings.keys).expanduser()
