"""A process that writes TOTAL events and kills itself at a moment of its n-th commit: place, data path, moment, n."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from sinks.place import place_of
from sinks.store import Store
from tests.contracts.sink_exactly_once import BATCH, DECODER, TOTAL
from tests.sinks.making import EVENTS, batch_of, events


def die(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    place, data_path, moment, after = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    records = events(TOTAL)
    store = Store.open(place_of(place, data_path))
    database = store.database
    run, commits = database.execute, 0

    def run_until_the_end(statement: str, parameters: Sequence[Any] = ()) -> Any:
        answer = run(statement, parameters)
        if "INSERT INTO commits" in statement or "UPDATE ingests" in statement:  # the last statement of a commit
            die()
        return answer

    while (start := store.positions("c").get((EVENTS, 0), 0)) < len(records):
        batch = DECODER.decode([batch_of(EVENTS, records[start : start + BATCH], start)], store.positions("c"))
        commits += 1
        if commits == after and moment == "before the offsets":
            store._write_ledger = die  # type: ignore[method-assign]
        if commits == after and moment == "before COMMIT":
            database.execute = run_until_the_end  # type: ignore[method-assign]
        store.commit(batch, "c")
        if commits == after and moment == "before the acknowledgement":
            die()
