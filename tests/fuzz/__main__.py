"""`make fuzz`: a million inputs, or as many as are asked for; exit code 1 where something was found.

    python -m tests.fuzz                              a million inputs from seed 1, one process
    python -m tests.fuzz --inputs 50000 --jobs 2 --target yaml --seed 7
    python -m tests.fuzz --target messages --seed 7 --chunk 12     one chunk again, as a finding names it

Findings are printed and their inputs written into the folder `--findings` (./fuzz-findings).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.campaign import INPUTS_PER_CHUNK, SHARES, TARGETS, Chunk, run_chunk

SHOWN_FINDINGS = 20


@dataclass
class Tally:
    """What all chunks of one target did together."""

    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    grown_mebibytes: float = 0.0
    findings: int = 0
    seen: set[str] = field(default_factory=set)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the event decoder and pack loader.")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all [1000000]")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same inputs [1]")
    parser.add_argument("--jobs", type=int, default=1, help="processes [1]")
    parser.add_argument("--target", choices=list(TARGETS), help="only this one")
    parser.add_argument("--chunk", type=int, help="only this chunk of --target")
    parser.add_argument(
        "--findings", type=Path, default=Path("fuzz-findings"), help="folder for inputs [./fuzz-findings]"
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    return parser.parse_args(given)


def chunks_of(order: argparse.Namespace) -> Iterator[tuple[str, int, int, int]]:
    """(target, seed, chunk, inputs) of everything that is to be done."""
    if order.chunk is not None:
        yield order.target, order.seed, order.chunk, INPUTS_PER_CHUNK[order.target]
        return
    for name, share in SHARES.items():
        if order.target not in (None, name):
            continue
        left, number = round(order.inputs * (share if order.target is None else 1)), 0
        while left > 0:
            yield name, order.seed, number, min(left, INPUTS_PER_CHUNK[name])
            left, number = left - INPUTS_PER_CHUNK[name], number + 1


def outcomes(order: argparse.Namespace) -> Iterator[Chunk]:
    """The chunks as they are done."""
    if order.jobs == 1:
        yield from (run_chunk(*chunk) for chunk in chunks_of(order))
        return
    with ProcessPoolExecutor(order.jobs) as pool:
        for done in as_completed([pool.submit(run_chunk, *chunk) for chunk in chunks_of(order)]):
            yield done.result()


def note(chunk: Chunk, tally: Tally, order: argparse.Namespace) -> None:
    """Count a chunk, tell its findings and keep their inputs."""
    tally.inputs += chunk.inputs
    tally.seconds += chunk.seconds
    tally.slowest = max(tally.slowest, chunk.slowest)
    tally.grown_mebibytes = max(tally.grown_mebibytes, chunk.grown_mebibytes)
    for number, (promise, content) in enumerate(chunk.findings):
        tally.findings += 1
        if promise[:80] in tally.seen or len(tally.seen) >= SHOWN_FINDINGS:
            continue
        tally.seen.add(promise[:80])
        order.findings.mkdir(parents=True, exist_ok=True)
        file = order.findings / f"{chunk.target}-{order.seed}-{chunk.number}-{number}"
        file.write_bytes(content)
        again = f"--target {chunk.target} --seed {order.seed} --chunk {chunk.number}"
        print(f"FOUND by {again}: {promise}\n  input: {file}", flush=True)


def main() -> int:
    order = arguments()
    if order.chunk is not None and order.target is None:
        sys.exit("--chunk needs --target")
    tallies: dict[str, Tally] = {}
    begun = last = time.monotonic()
    for chunk in outcomes(order):
        note(chunk, tallies.setdefault(chunk.target, Tally()), order)
        if not order.json and time.monotonic() - last > 5:
            last = time.monotonic()
            print(f"{sum(tally.inputs for tally in tallies.values()):>9,} inputs, {last - begun:,.0f} s", flush=True)
    total = {name: sum(getattr(tally, name) for tally in tallies.values()) for name in ("inputs", "findings")}
    if order.json:
        rows = {name: {k: v for k, v in vars(tally).items() if k != "seen"} for name, tally in tallies.items()}
        print(json.dumps({"seed": order.seed, **total, "seconds": time.monotonic() - begun, "targets": rows}))
        return min(1, total["findings"])
    titles = f"{'inputs/s':>10}{'slowest s':>11}{'grew MiB':>10}{'findings':>10}"
    print(f"{'target':<10}{'inputs':>10}{'seconds':>9}{titles}")
    for name, tally in tallies.items():
        rate = tally.inputs / tally.seconds
        figures = f"{tally.slowest:>11.2f}{tally.grown_mebibytes:>10.0f}{tally.findings:>10}"
        print(f"{name:<10}{tally.inputs:>10,}{tally.seconds:>9,.0f}{rate:>10,.0f}{figures}")
    print(f"seed {order.seed}: {total['inputs']:,} inputs, {total['findings']} findings")
    return min(1, total["findings"])


if __name__ == "__main__":
    sys.exit(main())
