"""Where rows come from: real people (generation 0), or a generator that was itself made of rows of some generation.

Our own exports say so in the metadata of a Parquet file, under the key `dayone`; other files may say it in the columns
`generation` and `run_id`. What says nothing is taken for real. Knows no event.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from personas.core.source import Source
from personas.sql import identifier
from simulator.twins.database import Database

KEY = b"dayone"
_MOST = 50


@dataclass(frozen=True)
class Ancestry:
    """The greatest generation among the rows, what is known of who made them (runs and models by name), and whether
    there are real rows among them or their ancestors."""

    generation: int = 0
    ancestors: tuple[str, ...] = field(default=())
    real: bool = True

    def told(self) -> dict[str, Any]:
        """As plain JSON, as in the metadata of a file."""
        return {"generation": self.generation, "ancestors": list(self.ancestors), "real": self.real}


def ancestry_of(database: Database, source: Source, given: str) -> Ancestry:
    """What a core says of where it comes from."""
    generation, ancestors, real = 0, list[str](), False
    path = Path(given.partition("::")[0])
    for file in [path] if path.is_file() else sorted(path.rglob("*.parquet")):
        told = _metadata(file) if file.suffix == ".parquet" else {}
        generation = max(generation, int(told.get("generation", 0)))
        real |= bool(told.get("real", False))
        ancestors += [str(each) for each in told.get("ancestors", [])]
    if "generation" in source.columns:
        column = identifier("generation")
        found = database.value(f"SELECT max(TRY_CAST({column} AS BIGINT)) FROM {source.relation}")  # noqa: S608
        generation = max(generation, int(found or 0))
        real |= not database.value(f"SELECT min(coalesce(TRY_CAST({column} AS BIGINT), 0)) FROM {source.relation}")  # noqa: S608
    else:
        real |= generation == 0
    for name in ("run_id", "runid"):
        if name in source.columns:
            runs = database.query(
                f"SELECT DISTINCT CAST({identifier(name)} AS VARCHAR) AS run FROM {source.relation} "  # noqa: S608
                f"WHERE {identifier(name)} IS NOT NULL ORDER BY run LIMIT {_MOST}"
            )
            ancestors += [f"run {run}" for run in runs.column(0).to_pylist()]
    return Ancestry(generation, tuple(dict.fromkeys(ancestors)), real)


def _metadata(file: Path) -> dict[str, Any]:
    """What a Parquet file of ours says; nothing where it says nothing, or nothing that can be read."""
    try:
        told = json.loads((pq.read_schema(file).metadata or {}).get(KEY, b"{}"))
    except (ValueError, OSError):
        return {}
    return told if isinstance(told, dict) else {}
