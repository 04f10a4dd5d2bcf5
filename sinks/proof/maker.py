"""What curves need of a generator: learn from a log, make another. The real one runs `dayone fit` and `dayone sample`.

A seam, because the model lives in another room, and because a curve of thirty fits must be testable in a second:
`Markov` (markov.py) is the one to test with, and to compare with. Knows no measure.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from personas.errors import ProofError, SettingsError
from sinks.proof.log import I32, Log, encode_with

#: Seconds that a fit or a sample may take.
PATIENCE = 3600.0


class Maker(Protocol):
    """A generator of synthetic logs."""

    name: str

    def make(self, taught: Log, sessions: int, seed: int) -> Log:
        """A log of about so many sessions by a model of `taught`, in its vocabulary. ProofError where that cannot be
        done, e.g. because there is too little to learn from."""
        ...


class Commands:
    """`dayone fit` and `dayone sample` as processes, with files between them. The log that is learned from has what
    every log has: users, sessions, times, events, items. With a pack, whose events these are, its personas join where
    little is learned from: see `dayone fit --pack`."""

    name = "twins"

    def __init__(self, pack: str | None = None) -> None:
        self._pack = pack

    def make(self, taught: Log, sessions: int, seed: int) -> Log:
        """See Maker."""
        with TemporaryDirectory(prefix="dayone-proof-") as folder:
            core, model, made = (Path(folder) / name for name in ("core.parquet", "model.twin", "made.parquet"))
            pq.write_table(table_of(taught), core)
            _run("fit", str(core), "--out", str(model), "--seed", str(seed), *self._with_pack(Path(folder)))
            _run("sample", str(model), "--sessions", str(sessions), "--out", str(made), "--seed", str(seed))
            return encode_with(taught.words, "synthetic", pq.read_table(made))


    def _with_pack(self, folder: Path) -> list[str]:
        if self._pack is None:
            return []
        mapping = folder / "map.yaml"
        mapping.write_text("items: {unknown: keep}\n", "utf-8")
        return ["--pack", self._pack, "--map", str(mapping)]


def maker_of(name: str, pack: str | None = None) -> Maker:
    """The maker of that name, with a pack where one is given; SettingsError where there is none."""
    from sinks.proof.markov import Markov

    makers: dict[str, Maker] = {"twins": Commands(pack), "markov": Markov()}
    if pack is not None and name != "twins":
        raise SettingsError(f"--pack: the maker {name} knows no pack.", hint="Leave --pack or --maker out.")
    if name not in makers:
        raise SettingsError(f"--maker {name}: there is none.", hint=f"Makers: {', '.join(makers)}.")
    return makers[name]


def table_of(log: Log) -> pa.Table:
    """A log as the table that it came from, without further columns."""

    def text(codes: I32, names: tuple[str, ...]) -> pa.Array:
        return pa.array(names, pa.string()).take(pa.array(codes, mask=codes < 0))

    user = log.user[log.session]
    columns = {
        "user_id": pa.array(log.users.tolist(), pa.string()).take(pa.array(user)),
        "session_id": pa.array([f"{each:08}" for each in range(log.sessions)], pa.string()).take(pa.array(log.session)),
        "ts": pa.array(log.time, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        "event": text(log.event, log.words.events),
        "step": pa.array(log.position, pa.int64()),
    }
    if (log.item >= 0).any():
        columns["item_id"] = text(log.item, log.words.items)
    return pa.table(columns)


def _run(*arguments: str) -> None:
    command = [sys.executable, "-m", "dayone", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise ProofError(
            f"dayone {arguments[0]} took more than {PATIENCE:.0f} s.", hint="Give a smaller core."
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines()[-3:] or [f"exit code {done.returncode}"]
        raise ProofError(f"dayone {arguments[0]} failed: {' '.join(said)}", hint="Run it by itself to see more.")
