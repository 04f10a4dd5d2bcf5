"""A second-order Markov chain of events with their items: the plain generator that others have to beat.

The next token of a session is that of a random place in the log where the last two tokens were the same; gaps come with
it, and beginnings from a random session. It copies what is rare, and forgets what is older than two events. Fast, and
with a known behaviour: the fake of tests of curves, and what a twin is compared with.
"""

from __future__ import annotations

import numpy as np

from personas.randomness import fold, root_key, uniform
from sinks.proof.likeness import tokens
from sinks.proof.log import I64, Log

#: Events after which a session ends, however it goes on.
_LONGEST = 500


class Markov:
    """See Maker."""

    name = "Markov chain"

    def make(self, taught: Log, sessions: int, seed: int) -> Log:
        """See Maker. Every session has a user of its own."""
        key = fold(root_key("markov", seed), np.arange(sessions))
        begun = (uniform(fold(key, 0)) * taught.sessions).astype(np.int64)
        place, contexts = _contexts(taught)
        order = np.argsort(contexts, kind="stable")
        first = np.searchsorted(contexts[order], contexts, side="left")
        last = np.searchsorted(contexts[order], contexts, side="right")
        row = taught.start[:-1][begun]
        alive = np.arange(sessions)
        steps: list[tuple[I64, I64]] = []
        for step in range(_LONGEST):
            steps.append((alive, row))
            drawn = uniform(fold(key[alive], step + 1))
            like = order[first[row] + (drawn * (last[row] - first[row])).astype(np.int64)]
            goes_on = place[like] < taught.length[taught.session[like]] - 1
            alive, row = alive[goes_on], like[goes_on] + 1
            if not len(alive):
                break
        owner, rows = (np.concatenate(parts) for parts in zip(*steps, strict=True))
        sort = np.lexsort((np.concatenate([np.full(len(each[0]), k) for k, each in enumerate(steps)]), owner))
        owner, rows = owner[sort], rows[sort]
        length = np.bincount(owner, minlength=sessions)
        start = np.r_[0, np.cumsum(length)]
        gap = np.nan_to_num(taught.gap[rows])
        gap[start[:-1]] = 0
        passed = np.cumsum(gap)
        since = passed - np.repeat(passed[start[:-1]], length)
        time = np.repeat(taught.began[begun], length) + (since * 1e6).astype(np.int64)
        users = np.array([f"markov-{seed}-{number}" for number in range(sessions)], dtype=object)
        return Log(
            taught.words, taught.event[rows], taught.item[rows], time, start.astype(np.int64), np.arange(sessions),
            users, taught.persona[begun],
        )  # fmt: skip


def _contexts(log: Log) -> tuple[I64, I64]:
    """The place of each row in its session, and a code for its token with the one before."""
    token = np.unique(tokens(log), return_inverse=True)[1].astype(np.int64)
    before = np.where(log.position > 0, np.r_[0, token[:-1]] + 1, 0)
    return log.position, before * (int(token.max(initial=0)) + 2) + token
