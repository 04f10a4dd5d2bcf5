"""The log's further columns: what events carry besides who, when, what and which item.

Each column is one of four kinds, found in the data: what follows from the *item* is copied from it; what holds for a
whole *user* or *session* is drawn with it, given the one earlier such column that tells most about it (a dependency
tree: Chow, Liu 1968); anything else *changes* and is drawn event by event, given the event and, where that tells
something, the value before. Values of fewer than k users do not exist here, nor do counts of fewer. Numbers with too
many values are learnt by classes (see `amounts`); a column that would mostly be empty is left out, and told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from personas.randomness import F64, fold, root_key
from simulator.twins.amounts import amounts_of, measured
from simulator.twins.log import I64, Log, codes_of
from simulator.twins.privacy import users_of

OF_ITEM, OF_SESSION, CHANGING, OF_USER = range(4)
MOST_VALUES, MOST_CELLS, LEAST_COVERED, SURE = 128, 1_000_000, 0.5, 0.99
#: A number is learnt by its values where they are few, or nearly all rows have one of them and each of them has so many
#: rows; a parent, and both of two things that tell, count where that tells so many nats more.
FEW, NEARLY_ALL, LEAST_ROWS, TELLS = 32, 0.95, 30, 0.02
MOST_ROWS = 20_000
PREFIX, TYPE = "more.", "type."

Named = dict[str, npt.NDArray[Any]]


def fit_properties(log: Log, named_items: int, k: int) -> tuple[Named, dict[str, tuple[str, ...]], dict[str, str]]:
    """Arrays and words of all columns that can be learnt, and why the others cannot.

    By column `c`: `more.c.kind` [kind, parent's place among the columns of sessions and users or -1], `more.c.table`:
    the value of each item [I], or weights [given, value], given the first event and the parent's value, or the event
    and the value before (none: the last). Where values are classes of numbers: `more.c.atoms` and so on, and no
    words."""
    arrays: Named = {}
    words: dict[str, tuple[str, ...]] = {}
    left_out: dict[str, str] = {}
    by_user = log.user[log.session]
    before: dict[str, tuple[int, I64]] = {}
    for name in sorted(log.more):
        code, values = _values(log.more[name], by_user, k)
        of_item = _by_item(log, code, named_items)
        if of_item is not None:
            found, made, kind, parent, table = code, Named(), OF_ITEM, -1, of_item
        else:
            found, values, made = _few(log.more[name], code, values, by_user, k)
            kind = _kind_of(log, found)
            if not len(values) and not made:
                left_out[name] = f"most of its values belong to fewer than {k} users"
                continue
            if kind == CHANGING and len(log.words["event"]) * (len(values) + 1) ** 2 > MOST_CELLS:
                left_out[name] = "it changes within sessions and has too many values"
                continue
            size = len(values) or len(made["atoms"]) + len(made["quantiles"])
            parent, table = _table(log, found, size, kind, before, by_user, k)
        if kind in (OF_SESSION, OF_USER):
            before[name] = kind, found[log.first[:-1]]
        arrays |= {f"{PREFIX}{name}.{part}": array for part, array in made.items()}
        arrays[f"{PREFIX}{name}.kind"], arrays[f"{PREFIX}{name}.table"] = np.array([kind, parent]), table
        words[f"{PREFIX}{name}"] = values
        words[f"{TYPE}{name}"] = (str(log.more[name].type),)
    return arrays, words, left_out


def _values(column: pa.Array, user: I64, k: int) -> tuple[I64, tuple[str, ...]]:
    """The code of each row and the values of at least k users; -1 where there is none, -2 for a value of fewer."""
    code, values = codes_of(column, ordered=True)
    often = users_of(code, user, len(values)) >= k if len(values) else np.zeros(0, dtype=np.bool_)
    place = np.append(np.where(often, np.cumsum(often) - 1, -2), -1)
    return place[code], tuple(value for value, kept in zip(values, often.tolist(), strict=True) if kept)


def _by_item(log: Log, code: I64, items: int) -> I64 | None:
    """[items]: the value of each item (-1: none that may be told), where values follow from items."""
    there = code != -1
    if not there.any() or not (code >= 0).any() or (log.item >= 0)[there].mean() <= SURE:
        return None
    has = np.flatnonzero((log.item >= 0) & (log.item < items))
    if not len(has):
        return None
    pair, count = np.unique(np.stack([log.item[has], code[has]]), axis=1, return_counts=True)
    order = np.lexsort((pair[1], -count, pair[0]))
    best = order[np.diff(pair[0][order], prepend=-1) != 0]
    modal = np.full(items, -1)
    modal[pair[0][best]] = pair[1][best]
    told = (code[has] >= 0) | (code[has] == -1)
    if (modal[log.item[has]] == code[has])[told].mean() <= SURE:
        return None
    if (code >= 0).sum() < LEAST_COVERED * there.sum():
        return None
    return np.asarray(np.maximum(modal, -1), dtype=np.int64)


def _few(
    column: pa.Array, code: I64, values: tuple[str, ...], user: I64, k: int
) -> tuple[I64, tuple[str, ...], Named]:  # fmt: skip
    """At most so many values as can be learnt, or classes of numbers with their arrays; neither where most rows would
    be empty."""
    there = int((code != -1).sum())
    counts = np.bincount(code[code >= 0], minlength=len(values))
    best = np.sort(np.argsort(-counts, kind="stable")[:MOST_VALUES])
    covered = counts[best].sum() / max(there, 1)
    thin = covered < NEARLY_ALL or (there < LEAST_ROWS * len(best) and len(best) > FEW)
    if thin and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        amount = np.asarray(pc.fill_null(column.cast(pa.float64(), safe=False), np.nan), dtype=np.float64)
        found, arrays = amounts_of(amount, user, k)
        if (found >= 0).sum() >= max(LEAST_COVERED * there, 1) and measured(amount):
            return found, (), arrays
    if not len(best) or covered < LEAST_COVERED:
        return code, (), {}
    place = np.full(len(values) + 1, -1)
    place[best] = np.arange(len(best))
    return place[np.maximum(code, -1)], tuple(values[value] for value in best.tolist()), {}


def _kind_of(log: Log, code: I64) -> int:
    """Whether a column holds for users, or for sessions, or changes."""
    first = code[log.first[:-1]]
    begun = first[np.unique(log.user, return_index=True)[1]]
    if (code == begun[log.user[log.session]]).mean() > SURE:
        return OF_USER
    return OF_SESSION if (code == first[log.session]).mean() > SURE else CHANGING


def _table(
    log: Log, code: I64, size: int, kind: int, before: Mapping[str, tuple[int, I64]], by_user: I64, k: int
) -> tuple[int, npt.NDArray[Any]]:
    """The place of the parent, and the weights."""
    first, events = log.first[:-1], len(log.words["event"])
    if kind == CHANGING:
        previous = np.where(np.arange(len(code)) == first[log.session], size + 1, np.roll(code, 1) % (size + 1))
        return -1, _weights(log.event, previous, events, size + 2, code, size, by_user, k)
    rows = np.unique(log.user, return_index=True)[1] if kind == OF_USER else np.arange(len(first))
    value, user, event = code[first][rows], log.user[rows], log.event[first][rows]
    usable = [kind == OF_SESSION or of == OF_USER for of, _ in before.values()]
    gains = [
        _tells(known[rows], value) if use else 0.0 for (_, known), use in zip(before.values(), usable, strict=True)
    ]
    parent = int(np.argmax(gains)) if gains and max(gains) > TELLS else -1
    given = list(before.values())[parent][1][rows] if parent >= 0 else np.zeros(len(value), dtype=np.int64)
    width = int(given.max(initial=0)) + 2
    return parent, _weights(event, given % width, events, width, value, size, user, k)


def _weights(
    event: I64, given: I64, events: int, width: int, value: I64, size: int, user: I64, k: int
) -> npt.NDArray[np.float32]:
    """[events*width, size+1] weights of values (the last: none) by event and by what is given besides; by one of them
    or by neither where both together tell less. What they tell is set against what is lost, since cells of fewer than k
    users are left out: among many values only the frequent ones would remain. A row without any takes that by event or
    by what is given, whichever tells more, and that without any the one of all."""
    value = np.where(value < 0, size, value)

    def counted(group: I64, many: int) -> F64:
        cell = group * (size + 1) + value
        counts = np.bincount(cell, minlength=many * (size + 1)).astype(np.float64)
        return np.asarray((counts * (users_of(cell, user, len(counts)) >= k)).reshape(many, size + 1))

    def table_of(group: I64, many: int, place: I64, otherwise: F64) -> tuple[float, F64]:
        table = counted(group, many)
        told = _tells(group, value) + float(np.log(max(table.sum() / max(len(value), 1), 1e-9)))
        table = table[place]
        return told, np.where(table.sum(axis=1, keepdims=True) > 0, table, otherwise)

    rows = np.arange(events * width)
    overall: F64 = np.bincount(value, minlength=size + 1)[None].astype(np.float64) + 1e-9
    by_event = table_of(event, events, rows // width, overall)
    by_given = table_of(given, width, rows % width, overall)
    alone = max((0.0, overall[rows * 0]), by_event, by_given, key=lambda each: each[0])
    otherwise = max(by_event, by_given, key=lambda each: each[0])[1]
    both = table_of(event * width + given, events * width, rows, otherwise)
    return np.asarray((both if both[0] > alone[0] + TELLS else alone)[1], dtype=np.float32)


def _tells(one: I64, other: I64) -> float:
    """How many nats one column tells of another, beyond what it tells of it in another order of its rows: what chance
    alone gives to as many cells. Of a long log some rows tell enough."""
    rows = np.argsort(fold(root_key("tells"), np.arange(len(one))), kind="stable")[:MOST_ROWS]
    return _information(one[rows], other[rows]) - _information(one[np.roll(rows, 1)], other[rows])


def _information(one: I64, other: I64) -> float:
    """Mutual information in nats."""
    a, b = np.unique(one, return_inverse=True)[1], np.unique(other, return_inverse=True)[1]
    width = int(b.max(initial=0)) + 1
    cell, count = np.unique(a * width + b, return_counts=True)
    rows, columns, share = np.bincount(a) / len(a), np.bincount(b) / len(b), count / len(a)
    return float((share * np.log(share / (rows[cell // width] * columns[cell % width]))).sum())
