"""`dayone prove`: from logs to a proof. Reads nothing and prints nothing: logs come in, a record goes out.

1. encode the logs with one vocabulary
2. ask every measure (registry.py); those that need a hold-out stay silent where there is none
3. if wished, the curves of collapse and of day zero to day N
4. judge by the gates
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personas.errors import ProofError
from personas.provenance import dayone_version
from sinks.proof.evidence import SESSIONS, Evidence
from sinks.proof.gates import Rule, judged
from sinks.proof.log import Log, encode
from sinks.proof.metric import Figure
from sinks.proof.reading import Read
from sinks.proof.record import Absent, LogRecord, Measured, Proof, measured
from sinks.proof.registry import all_metrics
from sinks.proof.sampling import is_core

log = logging.getLogger("dayone.proof")

#: Told of (steps done, steps in all, nothing) and what is measured.
Progress = Callable[[int, int, int], None]
_FEWEST = 50


@dataclass(frozen=True)
class Wish:
    """How to prove."""

    seed: int = 0
    replicates: int = 200
    conversion: str | None = None
    metrics: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


def split(real: Read) -> tuple[Read, Read]:
    """Core and hold-out of one real log, by the hash of the user (of the session, where no user returns)."""
    whole = encode({"real": real.table})["real"]
    column = real.table["user_id" if whole.returns else "session_id"]
    names = pc.unique(column).to_pylist()
    core = is_core(np.asarray(names, dtype=object))
    inside = pc.is_in(column, value_set=pa.array(names, pa.string()).filter(pa.array(core)))
    halves = real.table.filter(inside), real.table.filter(pc.invert(inside))
    if not all(half.num_rows for half in halves):
        raise ProofError(
            f"--real {real.said}: {len(whole.users)} users cannot be split into core and hold-out.",
            hint="Give a log of more users, or --core and --holdout.",
        )
    said = ("core half of", "hold-out half of")
    core_half, holdout_half = (
        Read(half, f"{word} {real.said}", real.files) for half, word in zip(halves, said, strict=True)
    )
    return core_half, holdout_half


def evidence_of(reads: Mapping[str, Read], wish: Wish) -> Evidence:
    """The evidence of logs called `synthetic` and, both or neither, `core` and `holdout`."""
    logs = encode({name: read.table for name, read in reads.items()})
    for name, each in logs.items():
        if each.sessions < _FEWEST:
            raise ProofError(
                f"The {name} log has {each.sessions} sessions: too few to say anything.",
                hint=f"Give {_FEWEST} or more.",
            )
    sums = {file["sha256"] for file in reads["holdout"].files} if "holdout" in reads else set[str]()
    return Evidence(
        logs["synthetic"], logs.get("core"), logs.get("holdout"), wish.seed, wish.replicates, wish.conversion,
        taught=bool(sums & reads["synthetic"].taught_by), learned=bool(reads["synthetic"].taught_by),
    )  # fmt: skip


def measure(
    evidence: Evidence, wanted: Sequence[str] = (), progress: Progress = lambda done, of, rows: None
) -> tuple[list[Measured], list[Absent]]:
    """The figures of all measures (or of those that are wanted), and why some have none."""
    figures: list[Measured] = []
    absent: list[Absent] = []
    metrics = [metric for name, metric in all_metrics().items() if not wanted or name in wanted]
    for place, metric in enumerate(metrics):
        progress(place, len(metrics), evidence.synthetic.rows)
        began = process_time()
        found: Figure | str = "needs a real hold-out: none was given"
        if evidence.holdout is not None or not metric.needs_holdout:
            found = metric.compute(evidence)
        log.debug("%s took %.1f s of processor time", metric.name, process_time() - began)
        if isinstance(found, str):
            absent.append(Absent(metric=metric.name, group=metric.group, title=metric.title, reason=found))
        else:
            figures.append(measured(metric, found, evidence.checked))
    progress(len(metrics), len(metrics), evidence.synthetic.rows)
    return figures, absent


def prove(
    reads: Mapping[str, Read], wish: Wish, progress: Progress = lambda done, of, rows: None
) -> tuple[Proof, Evidence]:
    """The proof of a synthetic log, and the evidence it stands on, for curves that are measured afterwards."""
    evidence = evidence_of(reads, wish)
    figures, absent = measure(evidence, wish.metrics, progress)
    logs = {"synthetic": evidence.synthetic, "core": evidence.core, "holdout": evidence.holdout}
    proof = Proof(
        dayone=dayone_version(),
        checked=evidence.checked,
        seed=wish.seed,
        replicates=wish.replicates,
        logs={name: _recorded(reads[name], each) for name, each in logs.items() if each is not None},
        figures=figures,
        absent=absent,
        gates=judged(wish.rules, figures, absent),
        notes=_notes(evidence),
    )
    return proof, evidence


def _recorded(read: Read, whole: Log) -> LogRecord:
    return LogRecord(
        said=read.said, sessions=whole.sessions, users=len(whole.users), events=whole.rows,
        looked_at=min(whole.sessions, SESSIONS), files=list(read.files), runs=list(read.runs),
    )  # fmt: skip


def _notes(evidence: Evidence) -> list[str]:
    notes = []
    if evidence.core is not None and evidence.holdout is not None:
        both = set(evidence.core.users.tolist()) & set(evidence.holdout.users.tolist())
        if both and evidence.core.returns:
            notes.append(
                f"{len(both):,} users are in core and hold-out: neither is independent, and all figures flatter."
            )
        ratio = evidence.synthetic.sessions / evidence.holdout.sessions
        if not 0.5 <= ratio <= 2:
            notes.append(
                f"The synthetic log has {ratio:.2g} times as many sessions as the hold-out; as many compare best."
            )
    return notes
