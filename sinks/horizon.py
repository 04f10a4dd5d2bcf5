"""How far each run has been stored, so that the search for duplicates can be left out where there can be none.

A run's events reach each partition in the order of their times, and on one cluster a key always goes to the same
partition (on another cluster a new horizon begins). So a batch
whose events are all later than what is stored of their run (by earlier processes: anywhere; by this one: from the same
partition) holds no event that is stored. A repeated event has the time that it had, so it is never later: then the
search is made. Knows Arrow tables of events; the database answers through a callable.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pyarrow as pa


class Horizon:
    """`stored_until(run_id)` gives the time of the latest stored event of a run, or None; asked once per run."""

    def __init__(self, stored_until: Callable[[str], datetime | None]) -> None:
        self._stored_until = stored_until
        self._floor: dict[str, datetime | None] = {}
        self._latest: dict[tuple[str, int], datetime] = {}

    def spans(self, events: pa.Table) -> dict[tuple[str, int], tuple[datetime, datetime]]:
        """The first and last time of the events of each run and partition."""
        groups = events.group_by(["run_id", "topic_partition"]).aggregate([("time", "min"), ("time", "max")])
        columns = (groups.column(name).to_pylist() for name in ("run_id", "topic_partition", "time_min", "time_max"))
        return {(run, partition): (first, last) for run, partition, first, last in zip(*columns, strict=True)}

    def beyond(self, spans: dict[tuple[str, int], tuple[datetime, datetime]]) -> bool:
        """Whether all of these events are later than what is stored of their runs."""
        for (run, partition), (first, _) in spans.items():
            if run not in self._floor:
                self._floor[run] = self._stored_until(run)
            for stored in (self._floor[run], self._latest.get((run, partition))):
                if stored is not None and first <= stored:
                    return False
        return True

    def stored(self, spans: dict[tuple[str, int], tuple[datetime, datetime]]) -> None:
        """These events are in the database now."""
        for place, (_, last) in spans.items():
            known = self._latest.get(place)
            self._latest[place] = last if known is None else max(known, last)
