"""Puts a proof, or the halves of a log, into a folder: each file whole or not at all. Knows records and files."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from personas.errors import ProofError
from sinks.proof.page import page_of
from sinks.proof.record import FILE, PAGE, Proof


def write_halves(core: pa.Table, holdout: pa.Table, folder: Path) -> tuple[Path, Path]:
    """Write core.parquet and holdout.parquet. ProofError where one exists already, or nothing can be written."""
    paths = folder / "core.parquet", folder / "holdout.parquet"
    for path in paths:
        if path.exists():
            raise ProofError(f"{path} exists already.", hint="Give another --out, or remove it.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table, path in zip((core, holdout), paths, strict=True):
            hidden = path.with_name(f".{path.name}.{os.getpid()}.partial")
            pq.write_table(table, hidden, compression="zstd")
            hidden.replace(path)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return paths


def _unwritable(folder: Path, error: OSError) -> ProofError:
    return ProofError(f"{folder}: nothing can be written there ({error.strerror}).", hint="Give another --out.")


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
        raise _unwritable(folder, error) from error
