"""Rows out of the store into Parquet files, split by split and shard by shard.

A shard holds some of the users of a split and is written by one statement, so memory is bounded by a shard and the
bytes are the same every time: rows in the order of the task's query, row groups of a fixed size, no time of writing in
the file. Files are named as Hugging Face's datasets are: `data/train-00000-of-00003.parquet`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sinks.training.selection import shards, use_shard
from sinks.training.split import SPLITS
from sinks.views import literal

if TYPE_CHECKING:
    from sinks.store import Store

ROW_GROUP = 122_880

#: Told after each shard: shards done, shards in all, rows so far.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Part:
    """One file of a training set: its split, where it is (relative to the version's directory), and its rows."""

    split: str
    path: str
    rows: int


def write_parts(store: Store, query: str, directory: Path, progress: Progress) -> tuple[Part, ...]:
    """Write every shard of every split under `directory`/data. A split without users has no file."""
    counts = {split: shards(store, split) for split in SPLITS}
    parts: list[Part] = []
    done = rows = 0
    (directory / "data").mkdir(parents=True, exist_ok=True)
    for split, count in counts.items():
        for shard in range(count):
            use_shard(store, split, shard, count)
            path = f"data/{split}-{shard:05d}-of-{count:05d}.parquet"
            written = _copy(store, query, directory / path)
            parts.append(Part(split, path, written))
            done, rows = done + 1, rows + written
            progress(done, sum(counts.values()), rows)
    return tuple(parts)


def _copy(store: Store, query: str, path: Path) -> int:
    answer = store.query(
        f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
    )
    return int(answer.column(0)[0].as_py())
