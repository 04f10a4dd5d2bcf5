"""Puts a proof into a folder: the page and the record. Knows records, no log."""

from __future__ import annotations

from pathlib import Path

from sinks.proof.files import put
from sinks.proof.page import page_of
from sinks.proof.record import FILE, PAGE, Proof


def write_proof(proof: Proof, folder: Path) -> None:
    """Write both files, replacing those of an earlier proof. ProofError where that is not possible."""
    page, record = page_of(proof), proof.model_dump_json(indent=1) + "\n"
    put(folder, {
        PAGE: lambda path: path.write_text(page, "utf-8"), FILE: lambda path: path.write_text(record, "utf-8"),
    })  # fmt: skip
