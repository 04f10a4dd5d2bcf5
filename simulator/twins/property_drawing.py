"""Draws the further columns of a log, as `properties` has learnt them: with items, users, sessions, or event by event.

Apart from the learning, as drawing is what a run of millions pays for. Every number is a hash of the session's key, the
column and the place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.randomness import F64, U64, cumulative_shares, fold, pick, root_key, uniform
from simulator.twins.amounts import amounts
from simulator.twins.log import I64, Log
from simulator.twins.properties import CHANGING, OF_ITEM, OF_SESSION, OF_USER, PREFIX, TYPE

NUMBERS = ("atoms", "quantiles", "decimals")


def draw_properties(
    arrays: Mapping[str, npt.NDArray[Any]], words: Mapping[str, tuple[str, ...]], log: Log, key: U64
) -> Log:
    """The log with all columns that the model has; `key` is one for each session."""
    more: dict[str, pa.Array] = {}
    drawn: list[I64] = []
    whole = np.unique(log.user, return_index=True)[1][log.user]  # the first session of each session's user
    names = sorted(name.removeprefix(PREFIX) for name in words if name.startswith(PREFIX))
    for name in names:
        kind, parent = arrays[f"{PREFIX}{name}.kind"].tolist()
        table, values = arrays[f"{PREFIX}{name}.table"], words[f"{PREFIX}{name}"]
        bits = fold(key, int(root_key(name)) % 2**32)
        own = {part: arrays[f"{PREFIX}{name}.{part}"] for part in NUMBERS if f"{PREFIX}{name}.{part}" in arrays}
        size = len(own["atoms"]) + len(own["quantiles"]) if own else len(values)
        if kind == OF_ITEM:
            code = np.where(log.item < 0, -1, np.append(table, -1)[np.clip(log.item, -1, len(table))])
        elif kind in (OF_SESSION, OF_USER):
            session = _of_session(table, len(log.words["event"]), log, drawn[parent] if parent >= 0 else None, bits)
            session = session[whole] if kind == OF_USER else session
            code = session[log.session]
            drawn.append(session)
        else:
            code = _changing(table, size, log, bits)
        code = np.where(code >= size, -1, code)
        if own:
            place = np.arange(len(code)) - log.first[log.session] if kind == CHANGING else np.zeros(len(code), np.int64)
            whose = (whole if kind == OF_USER else np.arange(len(whole)))[log.session]
            more[name] = _numbers(amounts(own, code, uniform(fold(fold(bits, 1)[whose], place))), words, name)
        else:
            more[name] = _typed(values, words[f"{TYPE}{name}"][0]).take(pa.array(code, mask=code < 0))
    return Log(
        log.event, log.item, log.time, log.session, log.first, log.user, log.words, log.users, {**log.more, **more}
    )


def _numbers(found: F64, words: Mapping[str, tuple[str, ...]], name: str) -> pa.Array:
    """Numbers of the column's own type; NaN is none."""
    kind = pa.type_for_alias(words[f"{TYPE}{name}"][0])
    none = np.isnan(found)
    whole = np.where(none, 0.0, np.rint(found) if pa.types.is_integer(kind) else found)
    return pa.array(whole, mask=none).cast(kind, safe=False)


def _typed(values: tuple[str, ...], kind: str) -> pa.Array:
    """The values as the column's own type where texts can become that again, else as texts."""
    texts = pa.array(list(values), pa.string())
    try:
        return texts.cast(pa.type_for_alias(kind))
    except (ValueError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return texts


def _of_session(table: F64, events: int, log: Log, parent: I64 | None, bits: U64) -> I64:
    width = len(table) // events
    given = np.zeros(len(log.user), dtype=np.int64) if parent is None else np.where(parent < 0, width - 1, parent)
    row = log.event[log.first[:-1]] * width + np.minimum(given, width - 1)
    found = pick(cumulative_shares(table.astype(np.float64) + 1e-12), row, uniform(bits))
    return np.where(found == table.shape[1] - 1, -1, found)


def _changing(table: F64, size: int, log: Log, bits: U64) -> I64:
    shares = cumulative_shares(table.astype(np.float64) + 1e-12)
    code = np.full(len(log.event), size)
    lengths = log.lengths
    active, value = np.argsort(-lengths, kind="stable"), np.full(len(lengths), size + 1)  # nothing is before the first
    for step in range(int(lengths.max(initial=0))):
        active = active[lengths[active] > step]
        rows = log.first[active] + step
        chance = uniform(fold(bits[active], step))
        value[active] = pick(shares, log.event[rows] * (size + 2) + value[active], chance)
        code[rows] = value[active]
    return code
