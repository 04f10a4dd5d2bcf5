"""Runs the gates of a stage and stops the build where one is not passed. Finds gates by itself: every class in this
package with a `judge` and a `name` is one. Thresholds come from the gates, or from `--gate gates.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from personas.errors import GateError, PackError, PoisonError, TrainingError
from personas.source import read_yaml
from personas.sql import literal
from sinks.database import Database, open_file
from sinks.place import MEMORY
from sinks.training import gates
from sinks.training.discovery import instances
from sinks.training.gates.gate import Evidence, Gate, Stage, Verdict

if TYPE_CHECKING:
    from sinks.training.form import Rows

#: The gate whose findings put runs aside.
POISON = "poisoned_run"


@cache
def all_gates() -> dict[str, Gate]:
    """One instance of each gate by name, in alphabetical order."""
    return instances(gates, "name", "judge", "threshold")


def load_thresholds(path: Path) -> dict[str, float]:
    """The thresholds in a YAML file, `gate: number` each. TrainingError names file and line of what is wrong."""
    try:
        data, lines = read_yaml(path)
    except PackError as error:
        raise TrainingError(str(error), hint="A gate file is YAML: `gate: threshold`, one a line.") from None
    known = all_gates()
    if not isinstance(data, dict):
        raise TrainingError(f"{path}:1: found no mapping.", hint=f"Write `gate: threshold`. Gates: {', '.join(known)}.")
    for name, value in data.items():
        place = f"{path}:{lines.get((name,), 1)}"
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            raise TrainingError(
                f"{place}: there is no gate {name!r}" + (f" (did you mean {near[0]}?)." if near else "."),
                hint=f"Gates: {', '.join(known)}.",
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise TrainingError(
                f"{place}: {name}: found {value!r}, expected a number from 0.", hint=f"Its unit: {known[name].unit}."
            )
    return {str(name): float(value) for name, value in data.items()}


def judge(evidence: Evidence, stage: Stage, thresholds: Mapping[str, float]) -> tuple[Verdict, ...]:
    """The verdicts of all gates of a stage, passed or not, in the order of their names."""
    verdicts = []
    for gate in all_gates().values():
        if gate.stage == stage:
            threshold = thresholds.get(gate.name, gate.threshold)
            figure, found, note = gate.judge(evidence, threshold)
            verdicts.append(Verdict(gate.name, stage, gate.checks, gate.unit, figure, threshold, found, note))
    return tuple(verdicts)


def require(verdicts: Sequence[Verdict]) -> None:
    """GateError where a gate is not passed, with all that was found; PoisonError where runs are to be put aside."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if not failed:
        return
    lines = []
    for verdict in failed:
        said = f"{verdict.figure:.6g} {verdict.unit}, at most {verdict.threshold:g}"
        lines.append(f"{verdict.gate}: {said} ({verdict.checks})")
        lines += [f"    {each.where}: {each.what}" for each in verdict.found]
    message = "Nothing was published: a gate holds it back.\n  " + "\n  ".join(lines)
    poison = [verdict for verdict in failed if verdict.gate == POISON]
    if poison:
        suspects = {each.where: f"{each.what} (at most {poison[0].threshold:g})" for each in poison[0].found}
        raise PoisonError(
            message, suspects=suspects,
            figures={**poison[0].told(), "found": [asdict(each) for each in poison[0].found]},
            hint="`dayone quarantine list` tells what is put aside; `dayone quarantine release RUN --reason ...` lets "
            "a run in again. The next build goes on without it.",
        )  # fmt: skip
    raise GateError(message, hint="Mend the data; or, knowing why, move the threshold with --gate FILE.")


@contextmanager
def rows_of(rows: Rows) -> Iterator[Database]:
    """The rows that were made, as the view `made` of a database in memory."""
    database = open_file(MEMORY, read_only=True, memory_limit="1GB")
    try:
        parts = [
            f"SELECT {literal(split)} AS split_of_row, * FROM read_parquet([{', '.join(map(literal, paths))}])"  # noqa: S608 - names of ours
            for split in dict.fromkeys(part.split for part in rows.parts)
            if (paths := rows.paths(split))
        ]
        database.query(f"CREATE VIEW made AS {' UNION ALL '.join(parts)}")
        yield database
    finally:
        database.close()
