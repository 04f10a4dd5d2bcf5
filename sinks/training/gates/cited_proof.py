"""Gate of `dayone build --proof DIR`: the proof in DIR passed its gates, and is about the runs that go in.

Reads proof.json as plain data: proofs know training sets, not the other way round. What it says goes the way of every
other gate: it holds a build back, or stands in the manifest, on the card and in the audit log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from personas.errors import TrainingError
from sinks.training.gates.gate import Found, Verdict, worst

#: Its name among the verdicts.
NAME = "proof"
#: Runs of a set to what a proof says of them.
Citing = Callable[[Iterable[str]], Verdict]


def cited(folder: Path) -> Citing:
    """What the proof in a folder says of runs. TrainingError where there is none that can be read."""
    path = folder / "proof.json"
    try:
        data = path.read_bytes()
        told = json.loads(data)
        checked, gates, about = str(told["checked"]), list(told["gates"]), set(told["logs"]["synthetic"]["runs"])
        failed = [(str(gate["metric"]), str(gate["rule"])) for gate in gates if gate["passed"] is not True]
    except OSError as error:
        raise TrainingError(f"{path} cannot be read ({error.strerror}).", hint="`dayone prove` makes one.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is no proof ({error}).", hint="Make it again with `dayone prove`.") from error
    digest = hashlib.sha256(data).hexdigest()

    def verdict(runs: Iterable[str]) -> Verdict:
        found = [Found(metric, 1.0, f"expected {rule}") for metric, rule in failed]
        if not gates:
            found.append(Found(path.name, 1.0, "it was made without gates: give `dayone prove` a --gate"))
        found += [Found(run, 1.0, "the proof is not about this run") for run in runs if run not in about]
        return Verdict(
            NAME, "runs", f"a proof ({checked}, SHA-256 {digest}) passed {len(gates)} gates and is about these runs",
            "reasons against it", float(len(found)), 0.0, worst(found),
        )  # fmt: skip

    return verdict


def cited_again(gates: Iterable[dict[str, Any]]) -> Citing | None:
    """The proof that a manifest cites among its gates, to repeat the build without it; None where it cites none."""
    for gate in gates:
        if gate["gate"] == NAME:
            again = Verdict(NAME, "runs", gate["checks"], gate["unit"], gate["figure"], gate["threshold"])
            return lambda runs: again
    return None
