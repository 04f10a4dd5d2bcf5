"""The model as a posterior: sessions of the pack's personas, or of its student, join a core that is too small to tell.

A few of a teacher's sessions are added to those that the networks of events and of ways to choose an item learn from:
pseudo-counts. How many is found by evidence: every user of the core is judged by the others and so many sessions of
each teacher, with chains of two events that back off to one and to none. The greatest number that explains them as well
as the best, within two standard errors, is taken, and none where the best gains next to nothing. So a small core leans
on its teacher, and a large one on itself alone.

Two ways were weighed. A mixture of two finished models, weighed when twins are drawn: it would double the time of
drawing, and could not be stronger where the core is silent and weaker where it speaks. Or pseudo-counts: this one. A
teacher knows the product, not the people: its sessions get the instants of the core's, and its pauses are replaced by
the core's of the same rank, so that pauses, arrivals and items are the core's alone. Nothing of the teacher is
anybody's: it costs no privacy, and does not count for k. What fewer than k users did is still not learnt from them;
events that only the teacher has become possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import F64, fold, root_key, uniform
from simulator.twins.log import I64, Log
from simulator.twins.privacy import chosen
from simulator.twins.user_state import static_of

#: Sessions of a teacher that may be added, besides all of them.
STRENGTHS = (0, 3, 10, 30, 100, 300, 1000)
#: Rows of a teacher at most: what learning them costs.
MOST_ROWS = 20_000
#: Nats an event that a teacher has to gain.
WORTH = 0.002
#: Rows of the core that are judged; more would change nothing.
JUDGED = 200_000
FOLDS = 10
_ALONE = -1
_BACK_OFF = (0.5, 2.0, 8.0, 32.0)


@dataclass(frozen=True)
class Pseudo:
    """Sessions of a teacher: a log in the words and times of the core's, and [s, STATIC] what is known of each."""

    log: Log
    static: F64


@dataclass(frozen=True)
class Strength:
    """Which teacher (empty: none), how many of its sessions, and what is told of the choice."""

    teacher: str
    sessions: int
    told: dict[str, Any]


def strength_of(core: Log, teachers: Mapping[str, Log]) -> Strength:
    """The strength by which users of the core are best explained by the others and a teacher."""
    if len(core.event) > JUDGED:
        taken = uniform(fold(root_key("judged"), core.user)) < JUDGED / len(core.event)
        core = chosen(core, np.flatnonzero(taken[core.session]))
    names = sorted({*core.words["event"], *(word for log in teachers.values() for word in log.words["event"])})
    events = _coded(core, names)
    rows = _contexts(core, events, len(names))
    fold_of = (uniform(fold(root_key("posterior"), core.user)) * FOLDS).astype(np.int64)[rows.session]
    if len(np.unique(fold_of)) < 2:
        return Strength("", 0, {})
    ours = [_counts(rows, fold_of != number, len(names)) for number in range(FOLDS)]
    by_user: dict[tuple[str, int], F64] = {}
    who = core.user[rows.session]
    for name, log in teachers.items():
        taught = _contexts(log, _coded(log, names), len(names))
        share = _counts(taught, np.ones(len(taught.next), dtype=np.bool_), len(names)) / len(log.user)
        most = _most(log)
        for strength in [*(size for size in STRENGTHS if size < most), most]:
            counts = [mine + strength * share for mine in ours]
            by_user["" if not strength else name, strength] = _loss(rows, fold_of, counts, who)
        by_user[name, _ALONE] = _loss(rows, fold_of, [most * share] * FOLDS, who)
    losses = {key: float(each.sum()) / len(rows.next) for key, each in by_user.items()}
    teacher, sessions = _chosen(by_user, losses, len(rows.next))
    told = {
        "teacher": teacher, "sessions": sessions, "weight": round(sessions / (sessions + len(core.user)), 4),
        "log_loss": {
            "core": round(losses["", 0], 4), **{name: round(losses[name, _ALONE], 4) for name in teachers},
            "posterior": round(losses[teacher, sessions], 4),
        },
    }  # fmt: skip
    return Strength(teacher, sessions, told)


def _chosen(by_user: dict[tuple[str, int], F64], losses: dict[tuple[str, int], float], events: int) -> tuple[str, int]:
    best = min((key for key in losses if key[1] >= 0), key=losses.__getitem__)
    if losses["", 0] - losses[best] <= WORTH:
        return "", 0
    as_good = [best]
    for name, sessions in losses:
        apart = by_user[name, sessions] - by_user[best]
        error = 2.0 * float(apart.std()) * len(apart) ** 0.5 / events
        if name == best[0] and sessions > best[1] and apart.sum() / events <= error:
            as_good.append((name, sessions))
    return max(as_good, key=lambda key: key[1])


def _most(log: Log) -> int:
    return int(min(len(log.user), MOST_ROWS * len(log.user) / max(len(log.event), 1)))


@dataclass(frozen=True)
class _Contexts:
    """Every event and every end of a log: the two events before (`pair`, one code), the last (`last`), what comes next,
    and the `session`."""

    pair: I64
    last: I64
    next: I64
    session: I64


def _coded(log: Log, names: list[str]) -> I64:
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[word] for word in log.words["event"]], dtype=np.int64)[log.event]


def _contexts(log: Log, event: I64, events: int) -> _Contexts:
    """With `events` for the time before the first event, and for the end."""
    lengths = log.lengths
    whole = np.full(len(event) + 3 * len(lengths), events)
    at = np.arange(len(event)) + 2 * log.session + log.session + 2
    whole[at] = event
    ends = log.first[1:] + 3 * np.arange(len(lengths)) + 2
    place = np.sort(np.concatenate([at, ends]))
    session = np.repeat(np.arange(len(lengths)), lengths + 1)
    last, before = whole[place - 1], whole[place - 2]
    return _Contexts(before * (events + 1) + last, last, whole[place], session)


def _counts(rows: _Contexts, taken: npt.NDArray[np.bool_], events: int) -> F64:
    """[(E+1)^2, E+1]: how often each follows each pair."""
    cell = rows.pair[taken] * (events + 1) + rows.next[taken]
    return np.bincount(cell, minlength=(events + 1) ** 3).reshape(-1, events + 1).astype(np.float64)


def _loss(rows: _Contexts, fold_of: I64, counts: list[F64], who: I64) -> F64:
    """Nats by user: each fold by the counts that it is not in, backing off as is best."""
    found = [_loss_at(rows, fold_of, counts, back_off) for back_off in _BACK_OFF]
    best = min(found, key=lambda each: float(each.sum()))
    return np.asarray(np.bincount(who, best), dtype=np.float64)


def _loss_at(rows: _Contexts, fold_of: I64, counts: list[F64], back_off: float) -> F64:
    found = np.zeros(len(rows.next))
    for number, table in enumerate(counts):
        mine = fold_of == number
        size = table.shape[1]
        none = table.sum(axis=0) + back_off
        none /= none.sum()
        one = table.reshape(size, size, size).sum(axis=0) + back_off * none
        one /= one.sum(axis=1, keepdims=True)
        pair, last, following = rows.pair[mine], rows.last[mine], rows.next[mine]
        of_pair = table.sum(axis=1)
        chance = (table[pair, following] + back_off * one[last, following]) / (of_pair[pair] + back_off)
        found[mine] = -np.log(chance)
    return found


def with_words(core: Log, teacher: Log) -> Log:
    """The core's log with words for the events that only the teacher has, behind its own."""
    happens = np.unique(teacher.event).tolist()
    new = [teacher.words["event"][code] for code in happens if teacher.words["event"][code] not in core.words["event"]]
    return replace(core, words={**core.words, "event": (*core.words["event"], *new)})


def pseudo_of(core: Log, teacher: Log, sessions: int, key: np.uint64) -> Pseudo:
    """So many sessions of a teacher in the words of the core (see `with_words`), at instants of the core's sessions and
    with its pauses. Items that the core does not have get codes behind its own."""
    order = np.argsort(fold(key, np.arange(len(teacher.user))), kind="stable")[:sessions]
    rows = np.flatnonzero(np.isin(teacher.session, order))
    log = chosen(teacher, rows)
    inner, pauses = np.flatnonzero(np.diff(log.session) == 0), np.diff(core.time)[np.diff(core.session) == 0]
    gap = np.zeros(len(log.event), dtype=np.int64)
    if len(pauses) and len(inner):
        rank = np.empty(len(inner), dtype=np.int64)
        rank[np.argsort(np.diff(log.time)[inner], kind="stable")] = np.arange(len(inner))
        gap[inner + 1] = np.maximum(np.sort(pauses)[rank * len(pauses) // len(inner)], 0)
    passed = np.cumsum(gap)
    start = core.time[core.first[:-1]]
    start = start[(uniform(fold(fold(key, 1), np.arange(len(log.user)))) * len(start)).astype(np.int64)]
    time = start[log.session] + passed - passed[log.first[:-1]][log.session]
    item = np.full(len(log.item), -1)
    if (core.item >= 0).any():
        place = {word: code for code, word in enumerate(core.words["item"])}
        codes = [place.get(word, len(place) + number) for number, word in enumerate(teacher.words["item"])]
        item = np.array([*codes, -1], dtype=np.int64)[log.item]
    event = {word: code for code, word in enumerate(core.words["event"])}
    ours = np.array([event.get(word, -1) for word in teacher.words["event"]], dtype=np.int64)[log.event]
    static = static_of(teacher)[np.sort(order)]
    return Pseudo(replace(log, event=ours, item=item, time=time, words=core.words), static)


def joined(core: Log, static: F64, pseudo: Pseudo) -> tuple[Log, F64]:
    """The sessions of both, the core's first, and [s, STATIC] what is known of each."""
    other = pseudo.log
    log = Log(
        event=np.concatenate([core.event, other.event]), item=np.concatenate([core.item, other.item]),
        time=np.concatenate([core.time, other.time]),
        session=np.concatenate([core.session, other.session + len(core.user)]),
        first=np.concatenate([core.first[:-1], other.first + len(core.event)]),
        user=np.concatenate([core.user, other.user + core.users]), words=core.words, users=core.users + other.users,
    )  # fmt: skip
    return log, np.concatenate([static, pseudo.static])
