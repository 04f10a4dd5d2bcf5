"""Writes the halves of a log. Needs nothing of the extra that proofs are made with: splitting trains no model."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from personas.errors import ProofError
from sinks.proof.files import put


def write_halves(core: pa.Table, holdout: pa.Table, folder: Path) -> tuple[Path, Path]:
    """Write core.parquet and holdout.parquet. ProofError where one exists already, or nothing can be written."""
    paths = folder / "core.parquet", folder / "holdout.parquet"
    for path in paths:
        if path.exists():
            raise ProofError(f"{path} exists already.", hint="Give another --out, or remove it.")
    put(folder, {
        path.name: partial(pq.write_table, table, compression="zstd")
        for table, path in zip((core, holdout), paths, strict=True)
    })  # fmt: skip
    return paths
