"""One lake, many writers: decoded batches from 1, 2 and 4 processes into a DuckDB file, and lakes of both kinds.

Kafka is left out, so that what is measured is the store: each process decodes messages of partitions of its own once,
and commits them again and again as if they were new. All begin together. Beside each rate stands the processor time per
row, from which follows what machines with a core per process would do: until the writers stand in one another's way,
twelve take in twelve times what one core does. What limits then is told too: on SQLite one transaction at a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure
from tests.bench.processes import ROOT, BenchError, environment

PROCESSES = (1, 2, 4)
PARTITIONS = 12
BATCH_ROWS = 20_000
SECONDS = 8.0


def measure() -> list[Figure]:
    """All kinds of store that this machine can have."""
    from _pytest.outcomes import Failed, Skipped

    from tests.postgres import server

    found = run_all("DuckDB file", lambda folder: (str(folder / "one.duckdb"), ""), (1,))
    found += run_all("lake in SQLite", lambda folder: (f"ducklake:sqlite:{folder / 'lake'}", ""), PROCESSES)
    try:
        with server() as postgres:
            found += run_all(
                "lake in PostgreSQL",
                lambda folder: (f"ducklake:postgres:{postgres.make_database()}", str(folder / "files")),
                PROCESSES,
            )
    except (Skipped, Failed) as reason:
        print(f"without PostgreSQL: {reason}", file=sys.stderr)
    return found


def run_all(name: str, place: Any, numbers: tuple[int, ...]) -> list[Figure]:
    """The figures of one kind of store, for each number of processes."""
    figures: list[Figure] = []
    alone = 0.0
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            answers = run_together(number, place(Path(folder)))
        rows = sum(answer["rows"] for answer in answers)
        commits = sum(answer["commits"] for answer in answers)
        conflicts = sum(answer["conflicts"] for answer in answers)
        seconds = max(answer["end"] for answer in answers) - min(answer["begin"] for answer in answers)
        processor = sum(answer["processor"] for answer in answers) / rows * 1e6
        rate = rows / seconds
        alone = alone or rate
        figures += [
            Figure("lake", f"{name}, {number} writing", rate, "rows/s", alone, "one writing",
                   note=f"{commits / seconds:.2g} commits/s, {conflicts} tried again, "
                   f"{sum(answer['waited'] for answer in answers) / commits * 1000:.0f} ms per commit"),
            Figure("lake", f"{name}, {number} writing: processor", processor, "µs/row", smaller=True),
        ]  # fmt: skip
    if len(numbers) > 1:
        cores = 1 if "SQLite" in name else PARTITIONS
        why = f"{cores} × what one core does: nobody waits for another"
        why = "one transaction at a time: one core's worth" if cores == 1 else why
        figures.append(
            Figure("lake", f"{name}: {PARTITIONS} partitions, a core each", cores * 1e6 / figures[1].value, "rows/s",
                   note=f"by arithmetic, the store alone, {why}")
        )  # fmt: skip
    return figures


def run_together(number: int, place: tuple[str, str]) -> list[dict[str, Any]]:
    """Start processes that write the same store at the same time; what each of them says."""
    from sinks.place import place_of
    from sinks.store import Store

    Store.open(place_of(*place)).close()
    begin = time.time() + 8.0 + 6.0 * number
    orders = [{"place": place, "member": member, "of": number, "begin": begin} for member in range(number)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(order)], cwd=ROOT, env=environment(), stdout=subprocess.PIPE,
            text=True,
        )
        for order in orders
    ]  # fmt: skip
    answers = []
    for process in processes:
        printed, _ = process.communicate(timeout=180)
        if process.returncode:
            raise BenchError(f"a writer ended with {process.returncode}")
        answers.append(json.loads(printed.splitlines()[-1]))
    return answers


def main(order: dict[str, Any]) -> None:
    """The measured process: commits batches of its own partitions for SECONDS."""
    from sinks.batch import Batch, Messages
    from sinks.ingest import Decoder
    from sinks.place import place_of
    from sinks.store import Store
    from sinks.vocabulary import vocabulary_of
    from tests.sinks.making import EVENTS, events, tiny_pack

    mine = list(range(order["member"], PARTITIONS, order["of"]))
    keys, values = zip(*events(BATCH_ROWS, f"tiny-{order['member']}"), strict=True)
    partitions = [mine[row % len(mine)] for row in range(BATCH_ROWS)]
    decoder = Decoder(vocabulary_of(tiny_pack()))
    batch = decoder.decode([Messages(EVENTS, partitions, range(BATCH_ROWS), keys, values)])
    with Store.open(place_of(*order["place"])) as store:
        store.claim([(EVENTS, partition) for partition in mine], "bench")
        time.sleep(max(0.0, order["begin"] - time.time()))
        conflicts = store.conflicts
        begin, processor, commits, waited = time.time(), time.process_time(), 0, 0.0
        while time.time() - begin < SECONDS:
            table = batch.tables["events"]
            run = table.schema.get_field_index("run_id")
            fresh = table.set_column(run, "run_id", _constant(f"tiny-{order['member']}-{commits}", table.num_rows))
            offsets = {place: offset + commits * BATCH_ROWS for place, offset in batch.next_offsets.items()}
            started = time.time()
            store.commit(Batch({"events": fresh}, (), offsets, BATCH_ROWS), "bench")
            waited += time.time() - started
            commits += 1
        answer = {
            "rows": commits * BATCH_ROWS, "commits": commits, "conflicts": store.conflicts - conflicts, "begin": begin,
            "end": time.time(), "processor": time.process_time() - processor, "waited": waited, "pid": os.getpid(),
        }  # fmt: skip
    print(json.dumps(answer))


def _constant(value: str, rows: int) -> Any:
    import pyarrow

    return pyarrow.repeat(pyarrow.scalar(value, pyarrow.string()), rows)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
