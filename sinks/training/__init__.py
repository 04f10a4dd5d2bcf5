"""Training sets: from the events of a store to data that a model can be trained on, with its papers in order.

    from sinks.training import load
    train, valid, test = load("next_event", "dayone.duckdb")

Nothing heavy is imported before a function is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa


class Sets(NamedTuple):
    """The three splits as Arrow tables with the same columns; a split without users has no rows."""

    train: pa.Table
    valid: pa.Table
    test: pa.Table


def load(
    task: str, store: str | Path, *, product: str | None = None, runs: Iterable[str] = (), split: str = "user",
    valid: float = 0.1, test: float = 0.1, seed: int = 0, core: str | Path | None = None,
    map: str | Path | None = None, core_key: str | Path | None = None, mix: str | None = None,  # noqa: A002
    ratio: float | None = None, prior_users: float | None = None, judge: str | None = None,
    memory_limit: str = "3GB", **options: Any,
) -> Sets:  # fmt: skip
    """The rows of a task straight from a store, without files: the same as `dayone build` writes to Parquet.

    `options` are the task's own; those about a `core` (real rows that are mixed in) are `dayone build`'s. Raises
    TrainingError and StoreError. Nothing is written, and nothing is checked by gates: publish a set with `dayone build`
    before others train on it."""
    from sinks.place import place_of
    from sinks.training.core.wishes import Wishes, granted
    from sinks.training.loading import load_sets
    from sinks.training.opening import opened_at_one_moment
    from sinks.training.registry import options_of, task_of
    from sinks.training.split import split_of

    wanted = task_of(task)
    chosen = options_of(wanted, {name: str(value) for name, value in options.items()})
    place = place_of(store)
    wishes = Wishes(
        core=None if core is None else str(core), map=Path(map) if map else None,
        key=Path(core_key) if core_key else None, mix=mix, ratio=ratio, prior_users=prior_users, judge=judge,
    )  # fmt: skip
    real, mixing, judged_by = granted(wishes, place)
    divided = split_of(by=split, valid=valid, test=test, seed=seed, judge=judged_by)
    with opened_at_one_moment(place, memory_limit=memory_limit) as database:
        return Sets(*load_sets(database, wanted, chosen, product, tuple(runs), divided, real, mixing))


def read(directory: str | Path) -> Sets:
    """The splits of a version that `dayone build` made: the same tables from each form that keeps all of a row.

    TrainingError where there is no training set, or one in a form that does not."""
    from sinks.training.loading import read_sets

    return Sets(*read_sets(Path(directory)))
