"""Next item: which item a session turns to next, recommended from its last items. Item-to-item with popularity.

    score(j) = sum over the last 5 items i of 0.7^age * C[i, j] / (C[i, *] + 10)  +  0.05 * popularity(j)

C[i, j] counts how often j came 1 to 5 items after i in a session, weighted with 1 / distance: the sequential rules of
Ludewig and Jannach (2018, arXiv:1803.09587), which hold their own against neural recommenders on short sessions. The
trivial arm is popularity in the core. The rank of the true item counts items of equal score as ranked above it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from personas.randomness import F64, fold, root_key, uniform
from sinks.proof.log import I64, Log, Mask

_WINDOW, _DECAY, _SHRINK, _POPULAR = 5, 0.7, 10.0, 0.05
#: Cells of the score table that are worked on at once.
_CELLS = 8_000_000
#: So many items seen before are held for all questions together: a session of n items has n squared by two.
_MOST_SEEN = 20_000_000


@dataclass(frozen=True, eq=False)
class Recommender:
    """What a log teaches about items; `follows` is None for the trivial one."""

    follows: sparse.csr_matrix | None
    popularity: F64


@dataclass(frozen=True, eq=False)
class Questions:
    """One row for each item that follows another in its session: the last items with weights, those seen before (in
    the session), the true item, whether it is new to the session, the user."""

    last: sparse.csr_matrix
    seen: sparse.csr_matrix
    truth: I64
    new: Mask
    user: I64

    def take(self, rows: Mask) -> Questions:
        """The questions of a mask."""
        return Questions(self.last[rows], self.seen[rows], self.truth[rows], self.new[rows], self.user[rows])


def _visits(log: Log) -> tuple[I64, I64, I64]:
    """Item, session and place among the session's items, of each row that has an item."""
    rows = log.item >= 0
    item, session = log.item[rows].astype(np.int64), log.session[rows]
    first = np.r_[True, session[1:] != session[:-1]]
    place = np.arange(len(item))
    return item, session, place - np.maximum.accumulate(np.where(first, place, 0))


def taught(log: Log) -> Recommender:
    """The recommender of a log; sessions count for their weights."""
    item, session, _ = _visits(log)
    counts_for = np.ones(len(item)) if log.weight is None else log.weight[session]
    size = len(log.words.items)
    pairs = sparse.csr_matrix((size, size))
    for step in range(1, _WINDOW + 1):
        same = session[step:] == session[:-step]
        weight = counts_for[step:][same] / step
        pairs = pairs + sparse.csr_matrix((weight, (item[:-step][same], item[step:][same])), shape=(size, size))
    total = np.asarray(pairs.sum(axis=1)).ravel()
    follows = sparse.diags_array(1.0 / (total + _SHRINK)) @ pairs
    return Recommender(sparse.csr_matrix(follows), _popularity(item, size, counts_for))


def popular(log: Log) -> Recommender:
    """The trivial recommender of a log."""
    return Recommender(None, _popularity(_visits(log)[0], len(log.words.items)))


def _popularity(item: I64, size: int, weight: F64 | None = None) -> F64:
    counts = np.bincount(item, weight, minlength=size).astype(np.float64)
    return np.asarray(counts / max(counts.sum(), 1.0))


def asked(log: Log) -> Questions:
    """The questions that a test log poses; of sessions without end, as robots have them, a share chosen by hash."""
    item, session, place = _visits(log)
    size = len(log.words.items)
    rows = np.flatnonzero(place > 0)
    if (seen_before := int(place.sum())) > _MOST_SEEN:
        rows = rows[uniform(fold(root_key("asked"), rows)) < _MOST_SEEN / seen_before]
    last: list[tuple[I64, I64, F64]] = []
    for age in range(_WINDOW):
        known = np.flatnonzero(place[rows] > age)
        last.append((known, item[rows[known] - 1 - age], np.full(len(known), _DECAY**age)))
    at, which, weight = (np.concatenate(parts) for parts in zip(*last, strict=True))
    back = place[rows]
    asker = np.repeat(np.arange(len(rows)), back)
    within = np.arange(back.sum()) - np.repeat(np.cumsum(back) - back, back)
    seen = item[np.repeat(rows - back, back) + within]
    shape = (len(rows), size)
    history = sparse.csr_matrix((np.ones(len(seen), np.float32), (asker, seen)), shape=shape)
    truth = item[rows]
    # SciPy has no answer for no questions
    new = np.asarray(history[np.arange(len(rows)), truth]).ravel() == 0 if len(rows) else np.zeros(0, dtype=np.bool_)
    users = log.user[session[rows]]
    return Questions(sparse.csr_matrix((weight, (at, which)), shape=shape), history, truth, new, users)


def ranks(model: Recommender, questions: Questions, *, only_new: bool) -> I64:
    """The rank, from 1, that the model gives each question's true item; among the items that are new to the session
    where `only_new` (ask for ranks of new items then)."""
    rows, size = questions.last.shape
    result = np.empty(rows, np.int64)
    base = (_POPULAR * model.popularity).astype(np.float32)
    chunk = max(1, _CELLS // max(size, 1))
    for begin in range(0, rows, chunk):
        part = slice(begin, min(begin + chunk, rows))
        count = part.stop - begin
        if model.follows is None:
            scores = np.tile(base, (count, 1))
        else:
            scores = (questions.last[part] @ model.follows).toarray().astype(np.float32) + base
        if only_new:
            asker, item = questions.seen[part].nonzero()
            scores[asker, item] = -1.0
        own = scores[np.arange(count), questions.truth[part]]
        result[part] = (scores >= own[:, None]).sum(axis=1)
    return result
