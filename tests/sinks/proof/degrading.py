"""Ways to make a good synthetic log worse, each in one respect, for tests of what measures notice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sinks.proof.evidence import Evidence
from sinks.proof.log import Log

_HOUR = 3_600_000_000


def copied(evidence: Evidence) -> Log:
    """The core itself, under other names."""
    core, _ = evidence.real
    return replace(core, users=np.array([f"copy-{user}" for user in core.users], dtype=object))


def shuffled(evidence: Evidence) -> Log:
    """What happens in a session happens in another order, with other items; times stay."""
    log = evidence.synthetic
    order = np.lexsort((np.random.default_rng(1).random(log.rows), log.session))
    return replace(log, event=log.event[order], item=log.item[order])


def aimless(evidence: Evidence) -> Log:
    """Every item is as likely as any other, whatever came before."""
    log = evidence.synthetic
    drawn = np.random.default_rng(2).integers(len(log.words.items), size=log.rows)
    return replace(log, item=np.where(log.item >= 0, drawn, -1).astype(np.int32))


def majority(evidence: Evidence) -> Log:
    """Each event is drawn by how frequent it is, each item is the most popular one, each session ends by a coin."""
    core, _ = evidence.real
    draw = np.random.default_rng(3)
    event = draw.choice(core.event, core.rows)
    item = np.where(draw.choice(core.item, core.rows) >= 0, np.bincount(core.item[core.item >= 0]).argmax(), -1)
    length = np.minimum(draw.geometric(core.sessions / core.rows, core.sessions), 60)
    rows = np.resize(np.arange(core.rows), int(length.sum()))
    start = np.r_[0, np.cumsum(length)]
    time = np.repeat(core.began, length) + (np.arange(len(rows)) - np.repeat(start[:-1], length)) * 20_000_000
    return replace(
        core, event=event[rows], item=item[rows].astype(np.int32), time=time, start=start,
        users=np.array([f"majority-{user}" for user in core.users], dtype=object),
    )  # fmt: skip


def shortened(evidence: Evidence) -> Log:
    """Half of each session is left."""
    log = evidence.synthetic
    kept = log.position < np.maximum(1, log.length // 2)[log.session]
    start = np.r_[0, np.cumsum(np.add.reduceat(kept.astype(np.int64), log.start[:-1]))]
    return replace(log, event=log.event[kept], item=log.item[kept], time=log.time[kept], start=start)


def hurried(evidence: Evidence) -> Log:
    """Everything goes five times as fast within a session, and begins nine hours later."""
    log = evidence.synthetic
    since = log.time - log.began[log.session]
    return replace(log, time=log.began[log.session] + since // 5 + 9 * _HOUR)


def unloved(evidence: Evidence) -> Log:
    """Nobody comes back: every session is somebody else's."""
    log = evidence.synthetic
    users = np.array([f"once-{session}" for session in range(log.sessions)], dtype=object)
    return replace(log, user=np.arange(log.sessions), users=users)


def narrow(evidence: Evidence) -> Log:
    """Few sessions are told again and again, with the most popular items only."""
    log = evidence.synthetic
    popular = np.argsort(-np.bincount(log.item[log.item >= 0]))[:5]
    session = np.random.default_rng(4).integers(8, size=log.sessions)
    rows = np.concatenate([np.arange(log.start[k], log.start[k + 1]) for k in session])
    length = log.length[session]
    item = np.where(log.item[rows] >= 0, popular[log.item[rows] % 5], -1).astype(np.int32)
    start = np.r_[0, np.cumsum(length)]
    offset = log.time[rows] - np.repeat(log.began[session], length)
    return replace(
        log, event=log.event[rows], item=item, start=start, time=np.repeat(log.began, length) + offset,
    )  # fmt: skip


def impersonal(evidence: Evidence) -> Log:
    """Personas are dealt out by chance, and so are users."""
    log = evidence.synthetic
    draw = np.random.default_rng(5)
    order = draw.permutation(log.sessions)
    rows = np.concatenate([np.arange(log.start[k], log.start[k + 1]) for k in order])
    length = log.length[order]
    offset = log.time[rows] - np.repeat(log.began[order], length)
    return replace(
        log, event=log.event[rows], item=log.item[rows], start=np.r_[0, np.cumsum(length)],
        time=np.repeat(log.began, length) + offset, persona=log.persona,
    )  # fmt: skip


def exaggerated(evidence: Evidence) -> Log:
    """The keen have twice as many events as they had, the shy one each."""
    log = evidence.synthetic
    keen = (log.persona == 0)[log.session]
    kept = keen | (log.position == 0)
    start = np.r_[0, np.cumsum(np.add.reduceat(kept.astype(np.int64), log.start[:-1]))]
    return replace(log, event=log.event[kept], item=log.item[kept], time=log.time[kept], start=start)
