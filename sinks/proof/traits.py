"""What a session looks like from outside, as a row of numbers: for two-sample tests and variances."""

from __future__ import annotations

import numpy as np

from personas.randomness import F64
from sinks.proof.comparing import gram_sessions, pooled_grams
from sinks.proof.learners.coding import hour_of, new_items, weekday_of
from sinks.proof.log import I64, Log

_EVENTS, _PAIRS, _TRIPLES, _ITEMS = 15, 30, 20, 25


def traits(*logs: Log) -> list[F64]:
    """A row for each session of each log; equal columns. What counts as frequent is decided on all of them together,
    so that no log is favoured."""
    columns = [_plain(log) for log in logs]
    for size, most in ((1, _EVENTS), (2, _PAIRS), (3, _TRIPLES)):
        codes = pooled_grams([log.event.astype(np.int64) for log in logs], [log.length for log in logs], size)
        for place, counts in enumerate(_frequent(codes, most)):
            sessions = gram_sessions(logs[place].length)
            columns[place] += [_per_session(logs[place], sessions, codes[place] == code) for code in counts]
    known = [np.where(log.item >= 0)[0] for log in logs]
    items = [log.item[rows].astype(np.int64) for log, rows in zip(logs, known, strict=True)]
    if any(len(each) for each in items):
        popular = np.bincount(np.concatenate(items), minlength=len(logs[0].words.items)).astype(np.float64)
        depth = np.log1p(popular.max()) - np.log1p(popular)
        for place, log in enumerate(logs):
            sessions = log.session[known[place]]
            total = np.bincount(sessions, minlength=log.sessions)
            mean = np.bincount(sessions, depth[items[place]], minlength=log.sessions) / np.maximum(total, 1)
            rarest = np.zeros(log.sessions)
            np.maximum.at(rarest, sessions, depth[items[place]])
            columns[place] += [mean, rarest]
            frequent = np.argsort(-popular, kind="stable")[:_ITEMS]
            columns[place] += [_per_session(log, sessions, items[place] == item) for item in frequent]
    return [np.column_stack(each) for each in columns]


def _plain(log: Log) -> list[F64]:
    gap = np.log1p(np.maximum(np.nan_to_num(log.gap), 0))
    first = log.start[:-1]
    total, squares = np.add.reduceat(gap, first), np.add.reduceat(gap * gap, first)
    inner = np.maximum(log.length - 1, 1)
    mean = total / inner
    second = np.where(log.length > 1, gap[np.minimum(first + 1, log.rows - 1)], 0)
    return [
        log.length.astype(np.float64), mean, np.sqrt(np.maximum(squares / inner - mean * mean, 0)),
        np.maximum.reduceat(gap, first), second, np.log1p((log.ended - log.began) / 1e6),
        np.add.reduceat(new_items(log).astype(np.float64), first),
        np.add.reduceat((log.item >= 0).astype(np.float64), first),
        hour_of(log.began).astype(np.float64), weekday_of(log.began).astype(np.float64),
    ]  # fmt: skip


def _frequent(codes: list[I64], most: int) -> list[I64]:
    counts = np.bincount(np.concatenate(codes))
    chosen = np.argsort(-counts, kind="stable")[:most]
    return [chosen for _ in codes]


def _per_session(log: Log, sessions: I64, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> F64:
    return np.bincount(sessions[mask], minlength=log.sessions).astype(np.float64)
