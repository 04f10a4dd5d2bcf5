"""When a sink that is to end has read enough: the ends of its partitions, seen and then seen again.

A look at the broker names the ends to read up to. One look was not enough, as the embedded broker names the first
message of the last batch instead of the last (see subscriber.py): a sink that stopped there left the rest of that
batch on the topic. Two ways considered: wait for a moment and look again, which guesses how long a fetch takes;
or look again once the first ends are reached. Chosen is the second: whoever has read the first message of a batch has
its fetch, and with that its true end, so the ends seen then hold all that was there at the first look. It costs one
question more, and no waiting.

A sink that was told to stop takes that second goal for good, so that a busy producer cannot keep it for ever.
"""

from __future__ import annotations

from sinks.batch import Partition, Positions, covers


class Goal:
    """The ends that a sink reads up to before it ends. `sure` once they were seen after earlier ones were reached."""

    def __init__(self) -> None:
        self.ends: dict[Partition, int] | None = None
        self.sure = False

    def passed(self, positions: Positions) -> bool:
        """Whether there is a goal, and these positions are there."""
        return self.ends is not None and covers(positions, self.ends)

    def forget(self) -> None:
        """It is not to end (any more), or nobody knows where."""
        self.ends, self.sure = None, False

    def set(self, ends: dict[Partition, int], *, reached: bool, stopping: bool) -> None:
        """The ends as seen now. `reached`: the goal before was, before this look. When `stopping`, a goal is moved
        only by the look that makes it sure."""
        if self.ends is None or not stopping or (reached and not self.sure):
            self.ends, self.sure = ends, reached
