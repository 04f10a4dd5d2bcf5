"""Puts a proof into a folder: proof.json and proof.html, each whole or not at all. Knows records and files."""

from __future__ import annotations

import os
from pathlib import Path

from personas.errors import ProofError
from sinks.proof.page import page_of
from sinks.proof.record import FILE, PAGE, Proof


def write_proof(proof: Proof, folder: Path) -> None:
    """Write both files, replacing those of an earlier proof. ProofError where that is not possible."""
    texts = {PAGE: page_of(proof), FILE: proof.model_dump_json(indent=1) + "\n"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            hidden = folder / f".{name}.{os.getpid()}.partial"
            hidden.write_text(text, "utf-8")
            hidden.replace(folder / name)
    except OSError as error:
        raise ProofError(
            f"{folder}: nothing can be written there ({error.strerror}).", hint="Give another --out."
        ) from error
