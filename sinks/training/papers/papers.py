"""The last step of a build before it is published: write the card, sum all files, sign the sums, tell the audit log.

Knows the order of these steps; what each writes is its own module's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sinks.audit_log import Note, note
from sinks.training.form import Part
from sinks.training.papers.card import CARD, SECOND, card_of
from sinks.training.papers.facts import Facts, Publisher
from sinks.training.papers.keys import SigningKey, signature_of
from sinks.training.papers.manifest import MANIFEST, SIGNATURE, manifest_of, sums_of, text_of


def _forget(notes: Sequence[Note]) -> None:
    """Of a build whose caller keeps no log."""


@dataclass(frozen=True)
class Papers:
    """Who signs (None: nobody), who publishes, and what keeps the notes for the audit log.

    `keep` is called once at the end, when the store is not read any more: it may close it."""

    key: SigningKey | None = None
    publisher: Publisher = field(default_factory=Publisher)
    keep: Callable[[Sequence[Note]], object] = _forget


#: Nobody signs, nobody is told.
UNSIGNED = Papers()


def write_papers(directory: Path, facts: Facts, parts: Sequence[Part], papers: Papers) -> None:
    """Card, manifest and signature into the directory, and the build into the audit log. Nothing may be written there
    afterwards."""
    card = directory / (SECOND if (directory / CARD).exists() else CARD)
    card.write_text(card_of(facts, parts), "utf-8")
    manifest = manifest_of(facts, parts, sums_of(directory))
    text = text_of(manifest)
    (directory / MANIFEST).write_bytes(text)
    if papers.key is not None:
        (directory / SIGNATURE).write_text(signature_of(text, papers.key), "ascii")
    subject = f"{facts.recipe.task}/{facts.recipe.version}"
    told = {
        "manifest_sha256": hashlib.sha256(text).hexdigest(),
        "signed_by": papers.key.public.name if papers.key else None,
        "rows": manifest["dayone:splits"],
        "runs": list(facts.recipe.runs),
        "form": facts.recipe.form,
    }
    notes = [note("gate", subject, {"verdict": "passed", "gates": list(facts.gates)})] if facts.gates else []
    papers.keep([*notes, note("build", subject, told)])
