"""Live readers: what eight of them, asking heavy questions without a pause, cost a sink at full rate.

The sink reads topics that are full already, once alone and once with readers in processes of their own, in turns, so
that a machine that grows busier meanwhile is busier for both. Readers are there before the sink begins, with all that
they import: what is measured is their asking, not their starting.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure
from tests.bench.processes import ROOT, BenchError, end, environment, run
from tests.bench.simulating import PACK, Filled
from tests.bench.storing import check_stored, last_line

READERS = 8
ROUNDS = 3
#: What readers may cost: the rate with them over the rate without.
GOAL = 0.75

QUESTIONS = (
    "SELECT type, date_trunc('hour', time) AS hour, count(*), count(DISTINCT session_id) FROM events GROUP BY ALL",
    "SELECT user_id, count(*) AS n, max(time) - min(time) FROM events GROUP BY ALL ORDER BY n DESC LIMIT 10",
    "SELECT properties ->> 'category' AS category, avg((properties ->> 'price')::DOUBLE) FROM events GROUP BY ALL",
    "FROM item_popularity ORDER BY users DESC LIMIT 10",
    "SELECT device, type, quantile_cont(value, 0.9) FROM events JOIN sessions USING (run_id, session_id) GROUP BY ALL",
)
#: Events, and events that the commits counted: one snapshot holds as many of both.
WHOLE = "SELECT (SELECT count(*) FROM events) AS events, (SELECT sum(events) FROM ingests) AS counted"


def measure(filled: Filled) -> list[Figure]:
    """The sink alone and the sink with readers, in turns."""
    alone, beside, answers = [], [], []
    for _ in range(ROUNDS):
        alone.append(_rate(filled, readers=0)[0])
        rate, answered = _rate(filled, readers=READERS)
        beside.append(rate)
        answers.append(answered)
    ratio = statistics.median(beside) / statistics.median(alone)
    return [
        Figure("readers", f"sink with {READERS} readers", statistics.median(beside), "events/s",
               statistics.median(alone), "sink alone"),
        Figure("readers", "rate that is left", ratio, "of 1", goal=GOAL, note=f"medians of {ROUNDS} rounds in turns"),
        Figure("readers", "heavy questions answered meanwhile", statistics.median(answers), "a run"),
    ]  # fmt: skip


def _rate(filled: Filled, readers: int) -> tuple[float, int]:
    """Events per second of one run of the sink, and how many questions were answered meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "bench.duckdb"
        with _asking(store, readers) as asking:
            sink = run(
                "-m", "dayone", "sink", PACK, "--until-completed", "--store", str(store), "--metrics-port", "0",
                "--bootstrap-servers", filled.broker.bootstrap_servers,
            )  # fmt: skip
            answered = [json.loads(process.communicate(timeout=60)[0].splitlines()[-1]) for process in asking]
        check_stored(store, filled.answer["events"])
    if torn := [each["torn"] for each in answered if each["torn"]]:
        raise BenchError(f"readers saw half a batch: {torn[0]}")
    if readers and min(each["answers"] for each in answered) == 0:
        raise BenchError("a reader was never answered")
    return last_line(sink.stderr)[2], sum(each["answers"] for each in answered)


@contextmanager
def _asking(store: Path, readers: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Reader processes that wait for the sink, ask until it has ended, and then say how it went."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps({"store": str(store), "first": number})],
            cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE,
        )
        for number in range(readers)
    ]  # fmt: skip
    try:
        for process in processes:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise BenchError("a reader did not start")
        yield processes
    finally:
        for process in processes:
            end(process)


def main(order: dict[str, Any]) -> None:
    """One reader."""
    from personas.errors import StoreError
    from sinks.attach import ServedStore
    from sinks.notice import Notice, find

    ServedStore.connect(Notice("", "", 0, "")).close()  # imports and extensions are in memory from here on
    print("ready", flush=True)
    while (notice := find(order["store"])) is None:
        time.sleep(0.02)
    served, answers, torn = ServedStore.connect(notice), 0, []
    try:
        while True:
            served.reader(QUESTIONS[(order["first"] + answers) % len(QUESTIONS)]).read_all()
            row = served.reader(WHOLE).read_all().to_pylist()[0]
            if row["events"] != (row["counted"] or 0):
                torn.append(row)
            answers += 1
    except StoreError:
        if find(order["store"]) is not None:  # still there: that was no end
            raise
    print(json.dumps({"answers": answers, "torn": torn}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
