"""The order of messages: hold back what lies in the future, give out what is due, skip what a topic already holds.

What a session does after the instant up to which the run was played is known, but not yet due; it waits here. So the
messages of a topic leave in one total order, (time, user, tie), however the run was cut into pieces; and a partition
that ends with a certain message holds all of its messages up to that one. That is why a run resumes without saved
state: everything up to the last message of a partition is skipped.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simulator.encode import Messages, no_messages
from simulator.world import I64

Position = tuple[int, int, int]


class Sequence:
    """The messages of one topic. `held` maps a partition to the position of the last message that it already has."""

    def __init__(self, topic: str, partition_of_row: I64, held: dict[int, Position] | None = None) -> None:
        self.topic = topic
        self._partition = partition_of_row
        self._held = dict(held or {})
        self._waiting = no_messages()
        #: Per partition the position of the last message that was given out, or that the topic had.
        self.reached: dict[int, Position] = dict(self._held)
        self._partitions = int(partition_of_row.max(initial=-1)) + 1
        owned = set(np.flatnonzero(np.bincount(partition_of_row)).tolist())
        #: Before this instant (milliseconds) every partition holds everything: need not be encoded.
        self.complete_until = min((p[0] for p in self._held.values()), default=-1)
        if not owned <= set(self._held):
            self.complete_until = -1

    def add(self, messages: Messages) -> None:
        """Take messages in, in any order."""
        if len(messages):
            self._waiting = Messages.join([self._waiting, messages]) if len(self._waiting) else messages

    def due(self, until: int) -> Messages:
        """The messages before `until`, in order, without those that the topic has."""
        waiting = self._waiting
        now = waiting.time < until
        self._waiting = no_messages() if now.all() else waiting.take(np.flatnonzero(~now)).alone()
        rows = np.flatnonzero(now & self._missing(waiting)) if self._held else np.flatnonzero(now)
        due = waiting.take(rows[_in_order(waiting.time[rows], waiting.user[rows], waiting.tie[rows])])
        self._note(due)
        return due

    def partitions(self, messages: Messages) -> I64:
        """The partition of each message."""
        return self._partition[messages.row]

    @property
    def waiting(self) -> int:
        """How many messages wait for their time."""
        return len(self._waiting)

    def _note(self, due: Messages) -> None:
        last = np.full(self._partitions, -1)
        last[self.partitions(due)] = np.arange(len(due))  # of several the last one stays
        for number in np.flatnonzero(last >= 0).tolist():
            row = last[number]
            self.reached[number] = (int(due.time[row]), int(due.user[row]), int(due.tie[row]))

    def _missing(self, messages: Messages) -> npt.NDArray[np.bool_]:
        partition = self.partitions(messages)
        missing = np.ones(len(messages), dtype=bool)
        for number, (time, user, tie) in self._held.items():
            later = (messages.time > time) | (
                (messages.time == time) & ((messages.user > user) | ((messages.user == user) & (messages.tie > tie)))
            )
            missing &= (partition != number) | later
        return missing


def _in_order(time: I64, user: I64, tie: I64) -> I64:
    """The rows by time, then user, then tie. Few share their time with another, so only those are looked at twice."""
    order = np.argsort(time)
    sorted_time = time[order]
    same = np.flatnonzero(sorted_time[1:] == sorted_time[:-1])
    shared = np.union1d(same, same + 1)
    some = order[shared]
    order[shared] = some[np.lexsort((tie[some], user[some], time[some]))]
    return np.asarray(order)
