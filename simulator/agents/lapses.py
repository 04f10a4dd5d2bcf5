"""Lapses: the questions that no answer stands behind, kept beside the recordings so that a run can be repeated.

Recordings hold answers. What happened where there was none (the budget was used up, the service refused, a connection
broke) decided the run as well: the user stepped down to the Behaviour, or was asked again. A run that is started again
must not get an answer there which it did not get the first time, or its topics would tell two stories. One line of
JSON per lapse, appended and flushed at once; without a folder they are kept for the life of the process.
"""

from __future__ import annotations

import json
from pathlib import Path

from personas.errors import TutorError

FILE = "lapses.jsonl"


class Lapses:
    """Kinds of errors by the sample number of the question (unique in a run) and the request's fingerprint."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = None if folder is None else folder / FILE
        self._known: dict[int, tuple[str, str]] = {}
        if self._path is not None and self._path.exists():
            self._read(self._path)

    def __len__(self) -> int:
        return len(self._known)

    def kind(self, sample: int, fingerprint: str) -> str | None:
        """The kind of error that this question ended with before, or None."""
        known = self._known.get(sample)
        return known[1] if known is not None and known[0] == fingerprint else None

    def knows(self, sample: int) -> bool:
        """Whether there may be one: cheaper than a fingerprint."""
        return sample in self._known

    def add(self, sample: int, fingerprint: str, kind: str) -> None:
        """Remember one."""
        self._known[sample] = fingerprint, kind
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"sample": sample, "request": fingerprint, "kind": kind}) + "\n")

    def _read(self, path: Path) -> None:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                one = json.loads(line)
                self._known[int(one["sample"])] = str(one["request"]), str(one["kind"])
            except (ValueError, KeyError, TypeError):
                raise TutorError(
                    f"{path}:{number}: found {line[:60]!r}, expected one lapse as JSON (sample, request, kind)",
                    kind="recording",
                    hint="A process that was killed may have written half a line: delete it.",
                ) from None
