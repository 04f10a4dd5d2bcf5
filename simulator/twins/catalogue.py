"""The catalogue as a map: items that are met in the same sessions lie close together.

Co-occurrence as positive pointwise mutual information, reduced to a few dimensions (Levy, Goldberg 2014, NeurIPS), and
clustered there. The clusters are the classes of the item model: choosing a class, then an item in it, costs the root of
what choosing among all items does.

Of items of fewer than k users nothing is learnt alone. Some that lie close together are *pooled*; a pool is learnt as
one item, and drawing it draws one of its items at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from personas.randomness import F64, fold, root_key, standard_normal
from simulator.twins.log import I64
from simulator.twins.privacy import Bools, users_of

FEWEST_DIMENSIONS, MOST_DIMENSIONS = 24, 96
#: Catalogues up to this size are one class.
ONE_CLASS = 400
REACH = (1.0, 0.7, 0.5, 0.35, 0.25, 0.2, 0.15, 0.1)
POOLED = 6
ROUNDS = 12
#: How often the strongest axes are sharpened, and with how many more than are wanted.
ITERATIONS, SPARE = 8, 16


@dataclass(frozen=True)
class Catalogue:
    """Items with names (F of at least k users first, then rare ones) and one code for all others become T *tokens*:
    F items, P pools, and one for the others.

    token [items+1]: token of each item. vector [T, d]: its place. leaf [T]: its class, of `leaves`. group [T]: the
    same, coarser. pool_first [P+1], pool_items: the items of each pool.
    """

    token: I64
    vector: F64
    leaf: I64
    leaves: int
    group: I64
    groups: int
    pool_first: I64
    pool_items: I64


def catalogue_of(item: I64, session: I64, user: I64, items: int, frequent: int, k: int) -> Catalogue:
    """The catalogue of a log: codes below `frequent` are items to learn alone, those below `items` rare ones with
    names. Rows in order, session by session, all with an item; a pool has at least `k` users."""
    code = np.minimum(item, items)
    vector = _vectors(code, session, items + 1)
    place = vector / np.maximum(np.linalg.norm(vector, axis=1, keepdims=True), 1e-9)
    weight = np.bincount(code, minlength=items + 1).astype(np.float64)
    groups = 1 if items < 8 else int(np.clip(items // 8, 2, 16))
    leaves = 1 if items <= ONE_CLASS else int(1.2 * np.sqrt(items))
    leaf = _clustered(place, weight, leaves)
    pool = _pools(place, leaf, frequent, items)
    rare = (code >= frequent) & (code < items)
    enough = users_of(pool[code[rare] - frequent], user[rare], int(pool.max(initial=-1)) + 1) >= k
    token, pool_first, pool_items = _tokens(pool, enough, frequent)
    tokens = int(token.max()) + 1
    size = np.bincount(token, minlength=tokens)
    middle = np.zeros((tokens, vector.shape[1]))
    np.add.at(middle, token, vector / size[token][:, None])
    leaf_of = np.zeros(tokens, dtype=np.int64)
    leaf_of[token] = leaf
    leaf_of = np.unique(leaf_of, return_inverse=True)[1]
    group = halved(middle, np.bincount(token, weight, minlength=tokens).astype(np.float64), groups)
    return Catalogue(
        token, middle, leaf_of, int(leaf_of.max()) + 1, group, int(group.max()) + 1, pool_first, pool_items
    )


def _clustered(place: F64, weight: F64, leaves: int) -> I64:
    """[n]: spherical k-means (Dhillon, Modha 2001) from the parts of `halved`."""
    leaf = halved(place, weight, leaves)
    for _ in range(ROUNDS if leaves > 1 else 0):
        centre = np.zeros((leaves, place.shape[1]))
        np.add.at(centre, leaf, place * np.log1p(weight)[:, None])
        centre /= np.maximum(np.linalg.norm(centre, axis=1, keepdims=True), 1e-9)
        leaf = np.argmax(np.round(place @ centre.T, 6), axis=1)
    return leaf


def _vectors(code: I64, session: I64, size: int) -> F64:
    """[size, d]: d rises with the catalogue."""
    from scipy import sparse

    wanted = int(np.clip(size // 20, FEWEST_DIMENSIONS, MOST_DIMENSIONS))
    dimensions = min(wanted, size - 2)
    vector = np.zeros((size, wanted))
    if dimensions < 2 or len(code) < 2:
        return vector
    total = sparse.csr_array((size, size))
    for far, weight in enumerate(REACH, start=1):
        near = session[far:] == session[:-far]
        counts = sparse.csr_array(
            (np.full(int(near.sum()), weight), (code[:-far][near], code[far:][near])), shape=(size, size)
        )
        total = total + counts + counts.T
    total = total.tocoo()
    apart = total.row != total.col
    row, column, data = total.row[apart], total.col[apart], total.data[apart]
    if len(data) < 2 * dimensions:
        return vector
    margin = np.bincount(row, data, minlength=size) ** 0.75
    expected = margin[row] * margin[column] * (data.sum() / margin.sum() ** 2)
    value = np.log(np.maximum(data / expected, 1.0))
    value *= data / (data + 1.0)
    matrix = sparse.csr_array((value, (row, column)), shape=(size, size))
    axes, strength = _leading(matrix, dimensions)
    vector[:, :dimensions] = axes * np.sqrt(strength)
    return vector


def _leading(matrix: Any, count: int) -> tuple[F64, F64]:
    """The `count` strongest axes [n, count] of a symmetric matrix and their strengths, by subspace iteration from a
    fixed beginning (Halko, Martinsson, Tropp 2011, doi:10.1137/090771806, algorithm 4.4). Lanczos' method finds the
    last axes more exactly, which are noise here, and takes four times as long on 60,000 items."""
    size = matrix.shape[0]
    width = min(size, count + SPARE)
    matrix = matrix.astype(np.float32)  # half as much to fetch from memory
    bits = fold(root_key("catalogue"), np.arange(size * width))
    basis = standard_normal(bits).reshape(size, width)
    for _ in range(ITERATIONS):
        basis = _orthonormal(matrix @ basis.astype(np.float32))
    strength, within = np.linalg.eigh(basis.T @ (matrix @ basis.astype(np.float32)))
    order = np.argsort(-np.abs(strength), kind="stable")[:count]
    return basis @ within[:, order], np.abs(strength[order])


def _orthonormal(vectors: Any) -> F64:
    """Axes of what the columns span, from their products: a tenth of the time of a QR decomposition, and exact enough
    for columns of which none is a millionth of another. Those that are next to nothing stay so."""
    vectors = vectors.astype(np.float64)
    square, axes = np.linalg.eigh(vectors.T @ vectors)
    found: F64 = vectors @ (axes / np.sqrt(np.maximum(square, square[-1] * 1e-12 + 1e-300)))
    return found


def _pools(place: F64, leaf: I64, frequent: int, items: int) -> I64:
    """The pool of each rare item: some of one class that lie close together."""
    pool, pools = np.zeros(items - frequent, dtype=np.int64), 0
    for number in np.unique(leaf[frequent:items]).tolist():
        mine = np.flatnonzero(leaf[frequent:items] == number)
        pool[mine] = pools + halved(place[frequent + mine], np.ones(len(mine)), max(len(mine) // POOLED, 1))
        pools = int(pool[mine].max()) + 1
    return pool


def _tokens(pool: I64, enough: Bools, frequent: int) -> tuple[I64, I64, I64]:
    """Token of each item, and the rare items of each pool that `enough` users have; the items of others get the last
    token, that of items without a name."""
    kept, pools = np.cumsum(enough) - 1, int(enough.sum())
    token = np.where(enough[pool], kept[pool], pools) if len(pool) else pool
    members = np.flatnonzero(token < pools)
    members = members[np.argsort(token[members], kind="stable")]
    first = np.concatenate([[0], np.cumsum(np.bincount(token[members], minlength=pools))]).astype(np.int64)
    return np.concatenate([np.arange(frequent), frequent + token, [frequent + pools]]), first, frequent + members


def halved(vector: F64, popularity: F64, parts: int) -> I64:
    """[n]: the part that each row is in; parts have about the same weight (popularity and number, evenly)."""
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
