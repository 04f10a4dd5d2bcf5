"""The log's further columns: what events carry besides who, when, what and which item.

Each column is one of three kinds, found in the data: what follows from the *item* is copied from it; what holds for a
whole *session* is drawn with it, given the one earlier such column that tells most about it (a dependency tree: Chow,
Liu 1968); anything else *changes* and is drawn event by event, given the event and the value before. Values of fewer
than k users do not exist here, nor do counts of fewer; a column that would mostly be empty is left out, and told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.randomness import F64, U64, cumulative_shares, fold, pick, root_key, uniform
from simulator.twins.log import I64, Log, codes_of
from simulator.twins.privacy import users_of

OF_ITEM, OF_SESSION, CHANGING = range(3)
MOST_VALUES, MOST_CHANGING, LEAST_COVERED, SURE = 128, 48, 0.5, 0.99
PREFIX, TYPE = "more.", "type."

Named = dict[str, npt.NDArray[Any]]


def fit_properties(log: Log, named_items: int, k: int) -> tuple[Named, dict[str, tuple[str, ...]], dict[str, str]]:
    """Arrays and words of all columns that can be learnt, and why the others cannot.

    By column `c`: `more.c.kind` [kind, parent's place among the session's columns or -1], `more.c.table`: the value of
    each item [I], or weights [given, value], given the first event and the parent's value, or the event and the value
    before (none: the last)."""
    arrays: Named = {}
    words: dict[str, tuple[str, ...]] = {}
    left_out: dict[str, str] = {}
    by_user = log.user[log.session]
    codes: dict[str, I64] = {}
    for name in sorted(log.more):
        code, values = codes_of(log.more[name], ordered=True)
        counts = np.bincount(code[code >= 0], minlength=len(values))
        often = (users_of(code, by_user, len(values)) >= k) if len(values) else np.zeros(0, dtype=np.bool_)
        best = np.argsort(-counts * often, kind="stable")[:MOST_VALUES]
        best = np.sort(best[often[best]])
        place = np.full(len(values) + 1, -1)
        place[best] = np.arange(len(best))
        code = place[code]
        if not len(best) or (code >= 0).sum() < LEAST_COVERED * max(counts.sum(), 1):
            left_out[name] = f"most of its values belong to fewer than {k} users"
            continue
        kind, parent, table = _column(log, code, len(best), codes, arrays, named_items, by_user, k)
        if kind == OF_SESSION:
            codes[name] = code[log.first[:-1]]
        if kind == CHANGING and len(best) > MOST_CHANGING:
            left_out[name] = "it changes within sessions and has too many values"
            continue
        arrays[f"{PREFIX}{name}.kind"], arrays[f"{PREFIX}{name}.table"] = np.array([kind, parent]), table
        words[f"{PREFIX}{name}"] = tuple(values[value] for value in best.tolist())
        words[f"{TYPE}{name}"] = (str(log.more[name].type),)
    return arrays, words, left_out


def _column(
    log: Log, code: I64, size: int, before: Mapping[str, I64], arrays: Named, items: int, by_user: I64, k: int
) -> tuple[int, int, npt.NDArray[Any]]:
    has = (log.item >= 0) & (log.item < items)
    if has.any() and (log.item >= 0)[code >= 0].mean() > SURE:
        counts = np.zeros((items, size + 1), dtype=np.float32)
        np.add.at(counts, (log.item[has], code[has]), 1.0)
        modal = counts.argmax(axis=1)
        modal = np.where(modal == size, -1, modal)
        if (modal[log.item[has]] == code[has]).mean() > SURE:
            return OF_ITEM, -1, modal
    first = log.first[:-1]
    event = log.event[first]
    events = len(log.words["event"])
    if (code == code[first][log.session]).mean() > SURE:
        value, user = code[first], log.user
        names = list(before)
        gains = [_information(before[name], value) for name in names]
        parent = int(np.argmax(gains)) if gains and max(gains) > 0.02 else -1
        given = before[names[parent]] if parent >= 0 else np.zeros(len(value), dtype=np.int64)
        width = int(given.max(initial=0)) + 2
        return OF_SESSION, parent, _weights(event * width + given % width, events * width, value, size, user, k, width)
    previous = np.where(np.arange(len(code)) == first[log.session], size, np.roll(code, 1) % (size + 1))
    given = log.event * (size + 1) + previous
    return CHANGING, -1, _weights(given, events * (size + 1), code, size, by_user, k, size + 1)


def _information(one: I64, other: I64) -> float:
    """Mutual information in nats."""
    a, b = np.unique(one, return_inverse=True)[1], np.unique(other, return_inverse=True)[1]
    both = np.zeros((a.max(initial=0) + 1, b.max(initial=0) + 1))
    np.add.at(both, (a, b), 1.0 / len(a))
    independent = both.sum(axis=1, keepdims=True) * both.sum(axis=0)
    there = both > 0
    return float((both[there] * np.log(both[there] / independent[there])).sum())


def _weights(given: I64, rows: int, value: I64, size: int, user: I64, k: int, width: int) -> npt.NDArray[np.float32]:
    """[rows, size+1] weights of values (the last: none), cells of fewer than k users left out; a row without any takes
    that of its value before or above with any event, and that without any the one of all."""
    value = np.where(value < 0, size, value)
    cell = given * (size + 1) + value
    counts = np.bincount(cell, minlength=rows * (size + 1)).astype(np.float64)
    counts *= users_of(cell, user, len(counts)) >= k
    table = counts.reshape(rows, size + 1)
    overall = np.bincount(value, minlength=size + 1) + 1e-9
    any_event = np.tile(table.reshape(-1, width, size + 1).sum(axis=0), (rows // width, 1))
    any_event = np.where(any_event.sum(axis=1, keepdims=True) > 0, any_event, overall)
    empty = table.sum(axis=1, keepdims=True) == 0
    return np.asarray(np.where(empty, any_event, table), dtype=np.float32)


def draw_properties(
    arrays: Mapping[str, npt.NDArray[Any]], words: Mapping[str, tuple[str, ...]], log: Log, key: U64
) -> Log:
    """The log with all columns that the model has; `key` is one for each session."""
    more: dict[str, pa.Array] = {}
    drawn: list[I64] = []
    names = sorted(name.removeprefix(PREFIX) for name in words if name.startswith(PREFIX))
    for name in names:
        kind, parent = arrays[f"{PREFIX}{name}.kind"].tolist()
        table, values = arrays[f"{PREFIX}{name}.table"], words[f"{PREFIX}{name}"]
        bits = fold(key, int(root_key(name)) % 2**32)
        if kind == OF_ITEM:
            code = np.where(log.item < 0, -1, np.append(table, -1)[np.clip(log.item, -1, len(table))])
        elif kind == OF_SESSION:
            session = _of_session(table, len(log.words["event"]), log, drawn[parent] if parent >= 0 else None, bits)
            code = session[log.session]
            drawn.append(session)
        else:
            code = _changing(table, len(values), log, bits)
        code = np.where(code >= len(values), -1, code)
        more[name] = _typed(values, words[f"{TYPE}{name}"][0]).take(pa.array(code, mask=code < 0))
    return Log(
        log.event, log.item, log.time, log.session, log.first, log.user, log.words, log.users, {**log.more, **more}
    )


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
    active, value = np.argsort(-lengths, kind="stable"), np.full(len(lengths), size)
    for step in range(int(lengths.max(initial=0))):
        active = active[lengths[active] > step]
        rows = log.first[active] + step
        chance = uniform(fold(bits[active], step))
        value[active] = pick(shares, log.event[rows] * (size + 1) + value[active], chance)
        code[rows] = value[active]
    return code
