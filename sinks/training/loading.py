"""Training sets as Arrow tables in memory: from a store, or from a directory that was built. See the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from personas.errors import TrainingError
from sinks.training.selection import choose, shards, use_shard
from sinks.training.split import SPLITS, Split
from sinks.training.task import Options, Task

if TYPE_CHECKING:
    from sinks.store import Store


def load_sets(
    store: Store, task: Task, options: Options, product: str | None, runs: tuple[str, ...], split: Split
) -> list[pa.Table]:
    """One table per split, rows in the order of the files that `build` would write."""
    choose(store, product=product, runs=runs, split=split)
    query = task.query(options)
    return [pa.concat_tables(_tables(store, query, name)) for name in SPLITS]


def _tables(store: Store, query: str, split: str) -> list[pa.Table]:
    count = shards(store, split)
    tables = []
    for shard in range(max(count, 1)):  # an empty split still has columns
        use_shard(store, split, shard, max(count, 1))
        tables.append(store.query(query))
    return tables


def read_sets(directory: Path) -> list[pa.Table]:
    """One table per split of a version on disk; a split without files has the columns and no rows."""
    found = {split: sorted(directory.glob(f"data/{split}-*.parquet")) for split in SPLITS}
    anything = next((files[0] for files in found.values() if files), None)
    if anything is None:
        raise TrainingError(
            f"{directory} holds no training set in Parquet.",
            hint="Name a directory that `dayone build` told of: <out>/<task>/<version>.",
        )
    empty = pq.read_schema(anything).empty_table()
    return [pa.concat_tables([pq.read_table(path) for path in files]) if files else empty for files in found.values()]
