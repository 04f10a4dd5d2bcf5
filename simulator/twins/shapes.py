"""What the inputs of a log's networks are, and how a model keeps that."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from simulator.twins.bursts import HOUR
from simulator.twins.catalogue import Catalogue
from simulator.twins.dwell import Durations
from simulator.twins.history import MOST_EVENTS, Shape
from simulator.twins.log import I64, Log
from simulator.twins.privacy import users_of
from simulator.twins.sequence import MODES
from simulator.twins.user_state import STATIC

#: Of an item that is met so often, the next event may depend; of so many items at most.
OFTEN, MOST_ITEMS = 200, 256


def shape_of(log: Log, catalogue: Catalogue, durations: Durations, k: int) -> Shape:
    """The inputs for a log: the most frequent events have columns of their own."""
    counts = np.bincount(log.event, minlength=len(log.words["event"]))
    order = np.argsort(-counts, kind="stable")
    column = np.empty(len(counts), dtype=np.int64)
    column[order] = np.minimum(np.arange(len(counts)), MOST_EVENTS - 1)
    return Shape(
        column=column, columns=int(column.max()) + 1, modes=MODES, group=catalogue.group[catalogue.token],
        groups=catalogue.groups if (log.item >= 0).any() else 1,
        hours=bool((log.time % 86_400_000_000).any()), static=STATIC,
        span=np.array([log.time.min() // HOUR, -(-log.time.max() // HOUR)]) * HOUR, bursts=durations.bursts.end,
        item_code=_item_codes(log, len(catalogue.token) - 1, k),
    )  # fmt: skip


def _item_codes(log: Log, names: int, k: int) -> I64:
    """[names+1]: items that are met often enough to say something by themselves, numbered from 1; 0 for the others."""
    has = np.flatnonzero((log.item >= 0) & (log.item < names))
    count = np.bincount(log.item[has], minlength=names + 1)
    often = (count >= OFTEN) & (users_of(log.item[has], log.user[log.session[has]], names + 1) >= max(k, OFTEN // 4))
    often &= np.argsort(np.argsort(-count, kind="stable"), kind="stable") < MOST_ITEMS
    return np.where(often, np.cumsum(often), 0)


def shape_arrays(shape: Shape, names: int) -> dict[str, npt.NDArray[Any]]:
    """A shape as arrays of a model; `names`: items that have one."""
    sizes = [shape.columns, shape.modes, shape.groups, int(shape.hours), shape.static, names]
    return {
        "shape.column": shape.column,
        "shape.group": shape.group,
        "shape.sizes": np.array(sizes),
        "shape.span": shape.span,
        "shape.bursts": shape.bursts,
        "shape.item_code": shape.item_code,
    }


def shape_from(arrays: Any) -> Shape:
    """The shape that a model was fitted with."""
    columns, modes, groups, hours, static, _ = (int(size) for size in arrays["shape.sizes"])
    return Shape(
        arrays["shape.column"], columns, modes, arrays["shape.group"], groups, bool(hours), static,
        arrays["shape.span"], arrays["shape.bursts"], arrays["shape.item_code"],
    )  # fmt: skip
