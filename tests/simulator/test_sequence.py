"""Messages leave in one total order, when they are due, and what a partition holds is skipped."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.encode import Messages
from simulator.sequence import Sequence


def messages(*places: tuple[int, int, int]) -> Messages:
    """(time, user, tie) each; the row of a user is the user."""
    time, user, tie = (np.array(column, dtype=np.int64) for column in zip(*places, strict=True))
    texts = pa.array([f"{t}/{u}/{i}" for t, u, i in places], pa.string())
    zeros = np.zeros(len(time), dtype=np.int64)
    return Messages(time, user, tie, user, zeros, zeros - 1, texts)


def test_what_is_not_due_waits_and_order_does_not_depend_on_arrival() -> None:
    sequence = Sequence("t", np.array([0, 1]))
    sequence.add(messages((5, 1, 0), (1, 1, 0), (9, 0, 0)))
    assert sequence.due(2).values.cast(pa.string()).to_pylist() == ["1/1/0"]
    sequence.add(messages((5, 0, 1), (5, 0, 0)))
    assert sequence.waiting == 4
    assert sequence.due(9).values.cast(pa.string()).to_pylist() == ["5/0/0", "5/0/1", "5/1/0"]
    assert sequence.due(10).values.cast(pa.string()).to_pylist() == ["9/0/0"] and sequence.waiting == 0


def test_what_a_partition_holds_is_skipped_to_the_message() -> None:
    sequence = Sequence("t", np.array([0, 1]), {0: (5, 0, 1)})
    assert sequence.complete_until == -1  # partition 1 holds nothing yet
    sequence.add(messages((4, 0, 0), (5, 0, 1), (5, 0, 2), (6, 0, 0), (4, 1, 0)))
    assert sequence.due(10).values.cast(pa.string()).to_pylist() == ["4/1/0", "5/0/2", "6/0/0"]


def test_everything_up_to_the_shortest_partition_is_complete() -> None:
    assert Sequence("t", np.array([0, 1]), {0: (5, 0, 1), 1: (3, 1, 0)}).complete_until == 3
