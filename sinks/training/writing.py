"""Rows out of the store into Parquet files, split by split and shard by shard; and from these into other forms.

A shard holds some of the users of a split and is written by one statement, so memory is bounded by a shard and the
bytes are the same every time: rows in the order of the task's query, row groups of a fixed size, no time of writing in
the file. DuckDB could write the files itself (COPY); where its row groups end depends on the number of its threads, so
the bytes would be others on another machine. Files are named as Hugging Face's datasets are:
`data/train-00000-of-00003.parquet`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from personas.errors import StoreError
from sinks.database import open_file
from sinks.place import MEMORY
from sinks.training.form import Form, Part, Rows, write_columns
from sinks.training.selection import shards, use_shard
from sinks.training.split import SPLITS

if TYPE_CHECKING:
    from sinks.store import Store

ROW_GROUP = 122_880

class TableWriter(Protocol):
    """What takes tables: a writer of Parquet or CSV."""

    def write_table(self, table: pa.Table, rows: int, /) -> None: ...
    def close(self) -> None: ...


#: Told after each shard: shards done, shards in all, rows so far.
Progress = Callable[[int, int, int], None]


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


def translate_parts(form: Form, rows: Rows, target: Path, memory_limit: str = "1GB") -> tuple[Part, ...]:
    """Write the rows down in a form, under `target`, with `columns.json`. Rows that were made under `target` itself are
    gone afterwards, unless they are in the form asked for."""
    database = open_file(MEMORY, read_only=True, memory_limit=memory_limit)
    try:
        parts = form.write(database, rows, target)
    finally:
        database.close()
    write_columns(target, rows.columns)
    if rows.directory == target:
        kept = {part.path for part in parts}
        for part in rows.parts:
            if part.path not in kept:
                (target / part.path).unlink()
    return parts


def _copy(store: Store, query: str, path: Path) -> int:
    """The rows of a query as a Parquet file; how many there are."""
    reader = store.reader(query, ROW_GROUP)
    with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer:
        return copy_into(writer, reader)


def copy_into(writer: TableWriter, reader: pa.RecordBatchReader) -> int:
    """Write what a reader gives, in groups of ROW_GROUP rows; how many rows there were. StoreError from the query."""
    count = 0
    try:
        for group in _groups(reader):
            writer.write_table(group, ROW_GROUP)
            count += group.num_rows
    except pa.ArrowException as error:  # DuckDB's errors, once rows are coming
        raise StoreError(f"The rows cannot be made: {error}") from error
    return count


def _groups(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The rows in tables of ROW_GROUP, the last one smaller; none where there are no rows."""
    waiting = reader.schema.empty_table()
    for batch in reader:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
        while waiting.num_rows >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP).combine_chunks()
            waiting = waiting.slice(ROW_GROUP)
    if waiting.num_rows:
        yield waiting.combine_chunks()
