"""The Confluent consumer as FastStream polls it, so that nobody else ever has to wait for a poll.

The client lets one call at a time into a consumer: whoever asks it for something while its thread waits for messages
waits as long, the event loop among them. Two ways considered. Short polls make the waits short, and many; chosen: the
polling thread itself does what there is to do between two polls. It sends the offsets that it was given, and notes
where the partitions end, for others to look at. A poll comes back early once nothing more arrives, or when reading is
to end. Knows the client's calls; home of none of its names.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from sinks.batch import Partition, Positions

log = logging.getLogger("dayone.sink.kafka")

#: The longest wait inside a poll, in seconds: so soon is noticed that nothing more comes, or that it is to end.
SLICE = 0.025


class PolledConsumer:
    """Stands in the place of the `consumer` that FastStream polls and closes, both in one and the same thread.

    `place` makes the client's name of a partition at an offset, `failures` are the errors that the client raises.
    """

    def __init__(
        self, consumer: Any, partitions: Collection[Partition], place: Callable[..., Any],
        failures: tuple[type[Exception], ...],
    ) -> None:  # fmt: skip
        self._consumer, self._place, self._failures = consumer, place, failures
        self._places = {partition: place(*partition) for partition in partitions}
        self._lock = threading.Lock()
        self._kept: dict[Partition, int] = {}
        self._ending = False
        #: The ends of the partitions as of their last fetch before the last poll came back; negative without one.
        #: Whoever has been given a message finds the end that came with it here.
        self.ends: dict[Partition, int] = dict.fromkeys(partitions, -1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def consume(self, num_messages: int, timeout: float) -> list[Any]:
        """So many messages at most: those that come within `timeout` seconds, or until none has come for a moment."""
        messages: list[Any] = []
        deadline = time.monotonic() + timeout
        while not self._ending:
            self._commit()
            wait = min(SLICE, max(0.0, deadline - time.monotonic()))
            found = self._consumer.consume(num_messages - len(messages), wait)
            messages += found
            if len(messages) >= num_messages or time.monotonic() >= deadline or (messages and not found):
                break
        self._note_ends()
        return messages

    def acknowledge(self, positions: Positions) -> None:
        """Commit these offsets to the group soon, and before the end. From any thread, without waiting."""
        with self._lock:
            self._kept.update(positions)

    def end_soon(self) -> None:
        """From now on no poll waits. From any thread."""
        self._ending = True

    def close(self) -> None:
        """Commit what is still to be committed, and let go of the consumer."""
        self._commit()
        self._consumer.close()

    def _commit(self) -> None:
        with self._lock:
            kept, self._kept = self._kept, {}
        if kept:
            offsets = [self._place(topic, partition, offset) for (topic, partition), offset in kept.items()]
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except self._failures as error:
                log.debug("the group's offsets were not committed: %s", error)

    def _note_ends(self) -> None:
        for partition, place in self._places.items():
            try:
                self.ends[partition] = int(self._consumer.get_watermark_offsets(place, cached=True)[1])
            except self._failures:  # it is not known to the client (any more)
                self.ends[partition] = -1
