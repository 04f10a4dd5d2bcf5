"""The catalogue as a tree: items that are met in the same sessions lie close together.

Co-occurrence (pairs at most three events apart, only those that at least k users have) as positive pointwise mutual
information, reduced to a few dimensions by a truncated SVD (Levy, Goldberg 2014, NeurIPS); then halved again and
again along the widest direction. The leaves are the classes of the item model: choosing a class, then an item in it,
costs the root of what choosing among all items does, and a class pools what single items are too rare for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personas.randomness import F64
from simulator.twins.log import I64

DIMENSIONS = 32
#: Catalogues up to this size are one class.
ONE_CLASS = 400
REACH = (1.0, 0.6, 0.4)


@dataclass(frozen=True)
class Catalogue:
    """vector [I+1, d]: place of each item. leaf [I+1]: class of each item, of `leaves`. group [I+1]: the same, coarser.
    The last row stands for all rare items."""

    vector: F64
    leaf: I64
    leaves: int
    group: I64
    groups: int


def catalogue_of(item: I64, session: I64, user: I64, items: int, k: int) -> Catalogue:
    """The catalogue of a log: codes from `items` on are rare. Rows in order, session by session; all with an item."""
    code = np.minimum(item, items)
    vector = _vectors(code, session, user, items, k)
    popularity = np.bincount(code, minlength=items + 1).astype(np.float64)
    groups = 1 if items < 8 else int(np.clip(items // 8, 2, 16))
    leaves = 1 if items <= ONE_CLASS else int(1.2 * np.sqrt(items))
    group, leaf = _halved(vector, popularity, groups), _halved(vector, popularity, leaves)
    return Catalogue(vector, leaf, int(leaf.max()) + 1, group, int(group.max()) + 1)


def _vectors(code: I64, session: I64, user: I64, items: int, k: int) -> F64:
    from scipy import sparse
    from scipy.sparse.linalg import svds

    size = items + 1
    dimensions = min(DIMENSIONS, items - 1)
    vector = np.zeros((size, DIMENSIONS))
    if dimensions < 2 or len(code) < 2:
        return vector
    total = sparse.csr_array((size, size))
    for far, weight in enumerate(REACH, start=1):
        near = session[far:] == session[:-far]
        first, second = code[:-far][near], code[far:][near]
        pair = np.unique(np.stack([first, second, user[far:][near]]), axis=1) if len(first) else np.zeros((3, 0), int)
        counts = sparse.csr_array((np.full(pair.shape[1], weight), (pair[0], pair[1])), shape=(size, size))
        total = total + counts + counts.T
    total = total.tocoo()
    often = (total.data >= k) & (total.row != total.col)
    if often.sum() < 2 * dimensions:
        return vector
    margin = np.asarray(total.sum(axis=0)).ravel()
    value = np.log(total.data * margin.sum() / (margin[total.row] * margin[total.col]))
    matrix = sparse.csr_array((np.maximum(value, 0) * often, (total.row, total.col)), shape=(size, size))
    left, strength, _ = svds(matrix, k=dimensions, v0=np.ones(size), random_state=0)
    vector[:, :dimensions] = (left * np.sqrt(np.maximum(strength, 0)))[:, ::-1]
    return vector


def _halved(vector: F64, popularity: F64, parts: int) -> I64:
    """[I+1]: the part that each item is in; parts have about the same weight (popularity and number, evenly)."""
    weight = popularity / max(popularity.sum(), 1.0) + 1.0 / len(popularity)
    part = np.zeros(len(vector), dtype=np.int64)
    queue = [(np.arange(len(vector)), parts)]
    made = 0
    while queue:
        members, wanted = queue.pop()
        if wanted <= 1 or len(members) < 2:
            part[members] = made
            made += 1
            continue
        centred = vector[members] - np.average(vector[members], axis=0, weights=weight[members])
        _, axes = np.linalg.eigh(centred.T @ (centred * weight[members][:, None]))
        order = np.lexsort((members, np.round(centred @ axes[:, -1], 9)))
        rising = np.cumsum(weight[members[order]])
        cut = int(np.searchsorted(rising, rising[-1] * (wanted // 2) / wanted)) + 1
        cut = min(max(cut, 1), len(members) - 1)
        queue += [(np.sort(members[order[cut:]]), wanted - wanted // 2), (np.sort(members[order[:cut]]), wanted // 2)]
    return part
