"""Comparing two logs with intervals: distributions, histograms and areas for any weights of their users.

Each class takes the values once and then gives its distance for any weights, because an interval asks two hundred
times. With all weights 1, `Steps` is the statistic of scipy.stats.ks_2samp and `Bins` the square of
scipy.spatial.distance.jensenshannon in base 2; tests hold them to it. Knows arrays, no log.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from personas.randomness import F64
from sinks.proof.log import I64

Weights = npt.NDArray[np.float32]


class Steps:
    """The Kolmogorov-Smirnov distance of two samples: the greatest difference of their distribution functions."""

    def __init__(self, ours: F64, our_user: I64, theirs: F64, their_user: I64) -> None:
        pooled = np.concatenate([ours, theirs])
        order = np.argsort(pooled, kind="stable")
        self._last = np.flatnonzero(np.diff(pooled[order], append=np.inf))
        self._order, self._cut, self._users = order, len(ours), (our_user, their_user)

    def distance(self, our_weights: Weights, their_weights: Weights) -> float:
        """The distance for these weights of the users of each side."""
        ours, theirs = our_weights[self._users[0]], their_weights[self._users[1]]
        if ours.sum() == 0 or theirs.sum() == 0:
            return float("nan")
        signed = np.concatenate([ours / ours.sum(dtype=np.float64), -theirs / theirs.sum(dtype=np.float64)])
        return float(np.abs(np.cumsum(signed[self._order])[self._last]).max())


class Bins:
    """Histograms of two samples over the same bins, and their Jensen-Shannon divergence in bits: 0 is equal, 1 is
    nothing in common (Lin 1991, doi:10.1109/18.61115)."""

    def __init__(
        self, ours: I64, our_user: I64, our_users: int, theirs: I64, their_user: I64, their_users: int
    ) -> None:
        bins, coded = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
        size = len(bins)
        self._sides = [
            sparse.csr_matrix((np.ones(len(codes)), (codes, user)), shape=(size, users))
            for codes, user, users in (
                (coded[: len(ours)], our_user, our_users), (coded[len(ours) :], their_user, their_users),
            )
        ]  # fmt: skip

    def shares(self, side: int, weights: Weights) -> F64:
        """The shares of the bins on a side."""
        counts = np.asarray(self._sides[side] @ weights.astype(np.float64))
        return np.asarray(counts / max(counts.sum(), 1e-12))

    def divergence(self, our_weights: Weights, their_weights: Weights) -> float:
        """The divergence for these weights."""
        ours, theirs = self.shares(0, our_weights), self.shares(1, their_weights)
        middle = (ours + theirs) / 2
        return max(0.0, _entropy(middle) - (_entropy(ours) + _entropy(theirs)) / 2)


def _entropy(shares: F64) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())


def gini(counts: F64) -> float:
    """The Gini coefficient: 0 where all are alike, towards 1 where one has all (Gini 1912)."""
    total = counts.sum()
    if not total:
        return 0.0
    ordered = np.sort(counts)
    place = np.arange(1, len(ordered) + 1)
    return float((2 * place - len(ordered) - 1) @ ordered / (len(ordered) * total))


def grams(tokens: I64, length: I64, size: int) -> I64:
    """Codes of the runs of `size` tokens in each session, with a mark before its beginning and one at its end: as many
    as the session has tokens and one more. Tokens are from 0; equal runs have equal codes."""
    begin, end = int(tokens.max(initial=0)) + 1, int(tokens.max(initial=0)) + 2
    pad = max(size - 1, 1)
    starts = np.r_[0, np.cumsum(length)]
    wide = np.full(len(tokens) + (pad + 1) * len(length), begin, np.int64)
    session = np.repeat(np.arange(len(length)), length)
    wide[np.arange(len(tokens)) + pad * (session + 1) + session] = tokens
    wide[starts[1:] + (pad + 1) * np.arange(1, len(length) + 1) - 1] = end
    real = np.flatnonzero(wide != begin)
    codes = np.zeros(len(real), np.int64)
    for step in range(size - 1, -1, -1):
        codes = np.unique(codes * (end + 1) + wide[real - step], return_inverse=True)[1]
    return codes


def pooled_grams(tokens: Sequence[I64], lengths: Sequence[I64], size: int) -> list[I64]:
    """`grams` of several logs with common codes."""
    codes = grams(np.concatenate(list(tokens)), np.concatenate(list(lengths)), size)
    counts = [len(each) + len(length) for each, length in zip(tokens, lengths, strict=True)]
    return np.split(codes, np.cumsum(counts)[:-1])


def gram_sessions(length: I64) -> I64:
    """The session of each code that `grams` gives."""
    return np.repeat(np.arange(len(length)), length + 1)
