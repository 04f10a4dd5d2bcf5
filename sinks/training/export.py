"""A run of the store as an event log: one flat file, a row per event, for whoever wants events and no training set.

The columns are those in which logs of real users come, so that a log that was made up can be put beside a real one,
fitted like one and compared with it: user_id, session_id, ts, step, event, item_id; then run_id, generator, generation
and the properties as JSON. All rows of a user are together, by time and step. What goes in is what goes into training
sets: `selection` decides that, here as there (no run in quarantine, for one). Where several runs are exported, ids are
`<run>/<id>`, because two runs may call different users the same.

Copies of copies may leave, too: the metadata of a Parquet file (key `dayone`) says what the rows descend from, so that
whoever fits a model on it knows. The file appears whole or not at all, and the store's audit log remembers its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyarrow import csv
from pyarrow import parquet as pq

from personas.errors import TrainingError
from sinks.audit_log import Note, note
from sinks.training.selection import choose, shards, use_shard
from sinks.training.split import Split
from sinks.training.writing import Progress, TableWriter, copy_into

if TYPE_CHECKING:
    import pyarrow as pa

    from sinks.store import Store

#: Endings of files that can be written.
ENDINGS = (".parquet", ".csv")
_QUERY = """
    SELECT {prefix}event.user_id AS user_id, {prefix}event.session_id AS session_id, event.time AS ts,
           event.sequence AS step, event.type AS event, event.item_id, event.run_id, session.generator,
           session.generation, event.properties::VARCHAR AS properties
    FROM chosen_events AS event JOIN chosen_sessions AS session USING (run_id, user_id, session_id)
    ORDER BY event.run_id, event.user_id, event.time, event.session_id, event.sequence"""


@dataclass(frozen=True)
class Exported:
    """A file that was written, and what is in it."""

    path: Path
    product: str
    runs: tuple[str, ...]
    events: int
    sha256: str

    @property
    def note(self) -> Note:
        """What the audit log is told."""
        told = {"sha256": self.sha256, "events": self.events, "product": self.product, "runs": list(self.runs)}
        return note("export", self.path.name, told)


def export(
    store: Store, target: Path, *, product: str | None = None, runs: Sequence[str] = (), progress: Progress
) -> Exported:
    """Write the runs (all of the product's where none is named) to a file that must not exist.

    TrainingError where it exists, cannot be written or has an unknown ending, and as `choose` raises it."""
    if target.suffix not in ENDINGS:
        raise TrainingError(
            f"{target}: no log is written as {target.suffix!r}.", hint=f"End its name in {' or '.join(ENDINGS)}."
        )
    if target.exists():
        raise TrainingError(f"{target} exists already.", hint="Give another --out, or remove it.")
    snapshot = choose(store, product=product, runs=runs, split=Split(valid=0, test=0), copies=True)
    chosen = tuple(str(run["run_id"]) for run in snapshot.runs)
    query = _QUERY.format(prefix="event.run_id || '/' || " if len(chosen) > 1 else "")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        events = _write(store, query, partial, target.suffix, _origin(store, chosen), progress)
        digest = _settled(partial)
        os.link(partial, target)  # unlike a rename, it leaves alone what somebody else has put there meanwhile
    except OSError as error:
        raise TrainingError(
            f"{target}: nothing can be written there ({error.strerror}).", hint="Give another --out."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return Exported(target, snapshot.product, chosen, events, digest)


def _origin(store: Store, runs: Sequence[str]) -> dict[str, Any]:
    """What the rows descend from: the highest generation, runs and models by name, and whether there is anything real
    among their ancestors."""
    told = store.query(
        "SELECT manifest -> '$.lineage' AS lineage FROM runs SEMI JOIN chosen_runs USING (run_id) ORDER BY ALL"
    ).column(0)
    lineages = [json.loads(text) or {} for text in told.to_pylist() if text]
    ancestors = [name for line in lineages for name in line.get("ancestors", ())]
    generation = store.query("SELECT max(generation) AS n FROM chosen_users_all").column(0)[0].as_py()
    return {
        "synthetic": True, "generation": generation, "real": any(line.get("core") for line in lineages),
        "ancestors": list(dict.fromkeys([*ancestors, *(f"run {run}" for run in runs)])),
    }  # fmt: skip


def _write(store: Store, query: str, path: Path, ending: str, origin: dict[str, Any], progress: Progress) -> int:
    """All rows of the query, shard by shard; how many there are."""
    count, rows = shards(store, "train"), 0
    writer: TableWriter | None = None
    try:
        for shard in range(count):
            use_shard(store, "train", shard, count)
            reader = store.reader(query)
            schema = reader.schema.with_metadata({"dayone": json.dumps(origin)})
            writer = writer or _writer(path, ending, schema)
            rows += copy_into(writer, reader)
            progress(shard + 1, count, rows)
    finally:
        if writer is not None:
            writer.close()
    return rows


def _writer(path: Path, ending: str, schema: pa.Schema) -> TableWriter:
    made: TableWriter = (
        csv.CSVWriter(path, schema) if ending == ".csv" else pq.ParquetWriter(path, schema, compression="zstd")
    )
    return made


def _settled(path: Path) -> str:
    """SHA-256 (hex) of a file that is on disk when this returns."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
