"""A proof of a store's runs is put into that store's audit log: what was proved, and the hash of what it says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sinks.audit_log import note
from sinks.audit_recording import record
from sinks.place import Place
from sinks.proof.record import FILE, Proof


def noted(place: Place, proof: Proof, folder: Path) -> bool:
    """Put the proof down. True: it is in the log; False: it waits beside the store, which others have open."""
    synthetic = proof.logs["synthetic"]
    details = {
        "checked": proof.checked,
        "runs": synthetic.runs,
        "sha256": hashlib.sha256((folder / FILE).read_bytes()).hexdigest(),
        "gates": [{"metric": gate.metric, "rule": gate.rule, "passed": gate.passed} for gate in proof.gates],
    }
    return record(place, [note("proof", f"proof/{folder.name}", details)])
