"""One batch of pieces that were decoded apart, each row once: what one transaction writes.

Knows tables and their keys; no message and no database.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from sinks import batch as b
from sinks.columns import first_of_each, latest_of_each


def joined(pieces: Sequence[b.Batch]) -> b.Batch:
    """One batch of pieces in the order of arrival, each row once."""
    tables: dict[str, pa.Table] = {}
    duplicates: dict[str, int] = {}
    for name in dict.fromkeys(name for piece in pieces for name in piece.tables):
        rows = pa.concat_tables(piece.tables[name] for piece in pieces if name in piece.tables)
        tables[name] = _without_duplicates(name, rows)
        if rows.num_rows > tables[name].num_rows:
            duplicates[name] = rows.num_rows - tables[name].num_rows
    next_offsets: dict[b.Partition, int] = {}
    for piece in pieces:
        next_offsets.update(piece.next_offsets)
    return b.Batch(
        tables,
        tuple(letter for piece in pieces for letter in piece.dead_letters),
        next_offsets,
        sum(piece.messages for piece in pieces),
        tuple(manifest for piece in pieces for manifest in piece.manifests),
        duplicates,
        sum(piece.skipped for piece in pieces),
        sum(piece.foreign for piece in pieces),
    )


def _without_duplicates(name: str, rows: pa.Table) -> pa.Table:
    if name in ("users", "runs"):
        return latest_of_each(name, rows, "time" if name == "users" else "updated")
    return first_of_each(name, rows)
