"""Training sets as Arrow tables in memory: from a store, or from a directory that was built. See the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from personas.errors import TrainingError
from sinks.database import open_file
from sinks.place import MEMORY
from sinks.training.core.taking import Core
from sinks.training.form import DATA, Form, read_columns
from sinks.training.mixing import Mixing
from sinks.training.registry import all_forms
from sinks.training.selection import choose, shards, use_shard
from sinks.training.split import SPLITS, Split
from sinks.training.task import Options, Task

if TYPE_CHECKING:
    from sinks.store import Store

_HINT = "Name a directory that `dayone build` told of: <out>/<task>/<version>, in a form that is read back."


def load_sets(
    store: Store, task: Task, options: Options, product: str | None, runs: tuple[str, ...], split: Split,
    core: Core | None = None, mixing: Mixing | None = None,
) -> list[pa.Table]:  # fmt: skip
    """One table per split, rows in the order of the files that `build` would write."""
    choose(store, product=product, runs=runs, split=split, core=core, mixing=mixing)
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
    """One table per split of a version on disk, in whichever form; a split without files has the columns and no rows.

    TrainingError where there is no training set, or one in a form that does not keep the rows as they were."""
    try:
        columns = read_columns(directory)
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{directory} holds no training set that can be read: {error}.", hint=_HINT) from error
    form = _form_in(directory)
    database = open_file(MEMORY, read_only=True, memory_limit="1GB")
    try:
        found = {split: sorted((directory / DATA).glob(f"{split}-*{form.suffix}")) for split in SPLITS}
        tables = {split: form.read(database, paths, columns) for split, paths in found.items() if paths}
    finally:
        database.close()
    empty = next(iter(tables.values())).schema.empty_table()
    return [tables.get(split, empty) for split in SPLITS]


def _form_in(directory: Path) -> Form:
    """The form whose files are there."""
    for form in all_forms().values():
        if form.suffix and any((directory / DATA).glob(f"*{form.suffix}")):
            return form
    known = ", ".join(form.name for form in all_forms().values() if form.suffix)
    raise TrainingError(f"{directory} is in none of the forms that are read back: {known}.", hint=_HINT)
