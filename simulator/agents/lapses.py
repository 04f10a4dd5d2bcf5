"""Lapses: the questions that no answer stands behind, kept beside the recordings so that a run can be repeated.

Recordings hold answers. What happened where there was none (the budget was used up, the service refused, a connection
broke) decided the run as well: the user stepped down to the Behaviour, or was asked again. A run that is started again
must not get an answer there which it did not get the first time, or its topics would tell two stories. One line of
JSON per lapse, appended and flushed at once; without a folder they are kept for the life of the process.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from personas.errors import BudgetError, TutorError

FILE = "lapses.jsonl"
BUDGET = "budget"


class Lapses:
    """Errors by the sample number of the question (unique in a run) and the request's fingerprint."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = None if folder is None else folder / FILE
        self._known: dict[int, tuple[str, str, str]] = {}
        if self._path is not None and self._path.exists():
            self._read(self._path)

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, sample: int) -> bool:
        """Whether there may be one: cheaper than a fingerprint."""
        return sample in self._known

    def find(self, sample: int, fingerprint: str) -> TutorError | None:
        """The error that this question ended with before, or None."""
        known, kind, scope = self._known.get(sample, ("", "", ""))
        if known != fingerprint:
            return None
        if kind == BUDGET:
            return BudgetError("the ceiling of dollars was reached at this question before")
        ends: Literal["session", "question"] = "session" if scope == "session" else "question"
        return TutorError(f"this question had no answer before: {kind}", kind=kind, scope=ends)

    def add(self, sample: int, fingerprint: str, error: TutorError) -> None:
        """Remember one."""
        if self.find(sample, fingerprint) is not None:
            return
        self._known[sample] = fingerprint, error.kind, error.scope
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            line = {"sample": sample, "request": fingerprint, "kind": error.kind, "scope": error.scope}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _read(self, path: Path) -> None:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                one = json.loads(line)
                self._known[int(one["sample"])] = str(one["request"]), str(one["kind"]), str(one["scope"])
            except (ValueError, KeyError, TypeError):
                raise TutorError(
                    f"{path}:{number}: found {line[:60]!r}, expected one lapse as JSON (sample, request, kind, scope)",
                    scope="tutor",
                    hint="A process that was killed may have written half a line: delete it.",
                ) from None
