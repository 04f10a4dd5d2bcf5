"""How alike sessions are: as bags of tokens, with the nearest of another log; and how probable, by counted runs.

A token is an event with its item. The vector of a session counts its tokens, its pairs of consecutive tokens, and each
event with the binary order of magnitude of the gap before it; the distance of two sessions is 1 - cosine. Knows logs;
no attack, no measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from personas.randomness import F64, fold, mix
from sinks.proof.comparing import gram_sessions, grams
from sinks.proof.log import I64, Log

#: Rows of both logs whose distances are in memory at once: 400 by 10,000 are 32 MB.
_CHUNK, _BLOCK = 400, 10_000


def tokens(log: Log) -> I64:
    """A code for each row: the event with its item."""
    return log.event.astype(np.int64) * (len(log.words.items) + 1) + log.item + 1


def vectors(*logs: Log) -> list[sparse.csr_matrix]:
    """A row of length 1 for each session of each log; equal columns."""
    parts = [_bags(logs, tokens, 1.0), _bags(logs, _pairs, 1.0), _bags(logs, _paces, 0.5)]
    rows = []
    for each in zip(*parts, strict=True):
        table = sparse.hstack(each, format="csr")
        norm = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
        rows.append(sparse.csr_matrix(sparse.diags_array(1.0 / np.maximum(norm, 1e-12)) @ table))
    return rows


def _pairs(log: Log) -> I64:
    """A code for each token with the one before it; -1 for the first of a session."""
    token = tokens(log)
    return np.where(log.position > 0, np.r_[0, token[:-1]] * 1_000_003 + token, -1)


def _paces(log: Log) -> I64:
    """A code for each event with the binary order of magnitude of the gap before it."""
    known = np.isfinite(log.gap)
    order = np.log2(np.maximum(np.where(known, log.gap, 1), 1)).astype(np.int64)
    return log.event.astype(np.int64) * 64 + np.where(known, order, 63)


def _bags(logs: Sequence[Log], coded: Callable[[Log], I64], weight: float) -> list[sparse.csr_matrix]:
    """Codes counted by session, each with a weight; -1 counts nothing."""
    codes = [coded(log) for log in logs]
    names, place = np.unique(np.concatenate(codes), return_inverse=True)
    places = np.split(place, np.cumsum([log.rows for log in logs])[:-1])
    return [
        sparse.csr_matrix((np.where(code == -1, 0.0, weight), (log.session, column)), shape=(log.sessions, len(names)))
        for log, code, column in zip(logs, codes, places, strict=True)
    ]


def nearest(of: sparse.csr_matrix, among: sparse.csr_matrix, count: int) -> F64:
    """The distances of each row to its `count` nearest rows of another log, nearest first. Every row is compared with
    every other; a tree would not help in so many columns."""
    count = min(count, among.shape[0])
    best = np.full((of.shape[0], count), -np.inf)
    for first in range(0, among.shape[0], _BLOCK):
        turned = among[first : first + _BLOCK].T.tocsr()
        for begin in range(0, of.shape[0], _CHUNK):
            rows = slice(begin, begin + _CHUNK)
            likeness = np.hstack([best[rows], (of[rows] @ turned).toarray()])
            best[rows] = np.partition(likeness, likeness.shape[1] - count, axis=1)[:, -count:]
    return np.clip(np.sort(1.0 - best, axis=1), 0.0, 1.0)


def fingerprints(log: Log) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """64 bits for each session; sessions with the same tokens in the same order, and no others, have the same (up to
    chance: one pair in 10^19)."""
    place = fold(mix(tokens(log).astype(np.uint64) + np.uint64(1)), log.position)
    return np.asarray(np.add.reduceat(place, log.start[:-1]))


@dataclass(frozen=True, eq=False)
class Counted:
    """Runs of up to three tokens of a log, counted: how probable it makes a session."""

    log: Log

    def per_session(self, asked: Log) -> F64:
        """The mean log-probability of the tokens of each session of another log, and its end: three orders, each
        falling back on the shorter one in proportion to what it has seen (Witten, Bell 1991, doi:10.1109/18.87000)."""
        ours, theirs = tokens(self.log), tokens(asked)
        names = np.unique(np.concatenate([ours, theirs]))
        both = np.concatenate([np.searchsorted(names, ours), np.searchsorted(names, theirs)]).astype(np.int64)
        length = np.concatenate([self.log.length, asked.length])
        cut = len(ours) + len(self.log.length)
        probability = np.full(len(both) + len(length) - cut, 1.0 / (len(names) + 1))
        for size in (1, 2, 3):
            run = grams(both, length, size)
            context = _contexts(both, length, size)
            seen = np.bincount(run[:cut], minlength=int(run.max()) + 1)
            before = np.bincount(context[:cut], minlength=int(context.max()) + 1)
            kinds = np.bincount(context[:cut][np.unique(run[:cut], return_index=True)[1]], minlength=len(before))
            total = before[context[cut:]] + kinds[context[cut:]]
            share = kinds[context[cut:]] / np.maximum(total, 1)
            probability = np.where(total > 0, seen[run[cut:]] / np.maximum(total, 1) + share * probability, probability)
        session = gram_sessions(asked.length)
        summed = np.bincount(session, np.log(probability), minlength=asked.sessions)
        return np.asarray(summed / (asked.length + 1))


def _contexts(both: I64, length: I64, size: int) -> I64:
    """The code of what comes before each token that `grams` gives a run of that size for."""
    if size == 1:
        return np.zeros(len(both) + len(length), np.int64)
    codes = grams(both, length, size - 1)
    moved = np.r_[0, codes[:-1] + 1]
    first = np.r_[0, np.cumsum(length + 1)[:-1]]
    moved[first] = 0
    return np.asarray(moved)
