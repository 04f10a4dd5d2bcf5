"""Every error that Dayone raises on purpose, in one tree, with the exit code that each ends a command with.

    DayoneError                    1   something failed; the message says what and how to mend it
    ├── PackError                  3   a pack (product, personas, catalogue) is wrong
    ├── SettingsError              2   an option or an environment variable is wrong
    ├── BrokerError                4   Kafka is away, refuses, or has other topics than expected
    │   ├── DeliveryError          4   messages could not be delivered after all retries
    │   └── AccessError            4   Kafka does not let us in: TLS or login
    ├── StoreError                 5   the database is missing, locked, read-only, full or of another version
    │   └── LockedStoreError       5   another process has the database open, and serves no readers
    ├── PortError                  6   an address that should be ours is in use
    ├── ControlError               7   a steering command was refused
    ├── TrainingError              8   a training set cannot be built or read
    │   ├── CoreError              8   real data that was supplied cannot be read, or does not fit
    │   ├── ProofError             8   a proof cannot be made of these logs
    │   └── GateError              9   a gate holds it back
    │       └── PoisonError        9   because of runs that are put aside
    ├── AuditError                10   a signature, a sum, a lineage or an audit log does not hold
    ├── TutorError                11   the language model cannot be asked, or its answer cannot be used
    │   └── BudgetError           12   the ceiling of dollars is reached
    ├── TwinError                 13   a twin model cannot be fitted, read or played
    └── StudentError              14   a student cannot be taught, read or played

Exit code 0 is success and 130 is an interruption (Ctrl-C, SIGTERM) after a clean drain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: The same for `dayone --help`.
EXIT_CODES = """\b
Exit codes:
  0    success
  1    an error that has no code of its own
  2    a wrong option or environment variable
  3    a pack (product, personas, catalogue) is wrong
  4    Kafka is away, refuses, or has other topics than expected
  5    the database is missing, locked, read-only, full or of another version
  6    an address to listen on is in use
  7    a steering command was refused
  8    a training set cannot be built or read, or real data not be read
  9    a gate holds a training set back
  10   a signature, sum, lineage or audit log does not hold
  11   the language model cannot be asked, or its answer cannot be used
  12   the ceiling of dollars is reached
  13   a twin model cannot be fitted, read or played
  14   a student cannot be taught, read or played
  130  interrupted (Ctrl-C, SIGTERM), after a clean drain
"""


class DayoneError(Exception):
    """Base of every deliberate error. `hint` says how to mend it, in one sentence."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a file: where it is, what was found and what was expected."""

    file: str
    field: str
    found: str
    expected: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        field = f": {self.field}" if self.field else ""
        return f"{place}{field}: found {self.found}, expected {self.expected}"


class PackError(DayoneError):
    """A pack is wrong; `faults` lists everything found, in the order of the files."""

    exit_code = 3

    def __init__(self, message: str, faults: tuple[Fault, ...] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.faults = faults

    def __str__(self) -> str:
        lines = [self.message, *(f"  {fault}" for fault in self.faults)]
        return "\n".join([*lines, f"  {self.hint}"] if self.hint else lines)


class SettingsError(DayoneError):
    """An option or an environment variable has a value that cannot be used."""

    exit_code = 2


class BrokerError(DayoneError):
    """Kafka is away, refuses, or its topics differ from what is expected."""

    exit_code = 4


class DeliveryError(BrokerError):
    """Messages could not be delivered after all retries of the client."""


class AccessError(BrokerError):
    """Kafka does not let us in: encryption, certificates or login do not fit. Trying again does not help."""


class StoreError(DayoneError):
    """The database is missing, locked, read-only, full or of another schema version."""

    exit_code = 5


class LockedStoreError(StoreError):
    """Another process has the database open."""


class PortError(DayoneError):
    """An address that this process should listen on is in use."""

    exit_code = 6


class ControlError(DayoneError):
    """A steering command was refused; nothing changed."""

    exit_code = 7


class TrainingError(DayoneError):
    """A training set cannot be built or read as asked; nothing was published."""

    exit_code = 8


class CoreError(TrainingError):
    """Real data that was supplied cannot be read, speaks other words, or is too little; nothing was made of it."""


class GateError(TrainingError):
    """A gate found the data not fit to be published; nothing was."""

    exit_code = 9


class PoisonError(GateError):
    """A gate found runs that must go into no training set. `suspects` gives each its reason, `figures` is the gate's
    verdict."""

    def __init__(
        self,
        message: str,
        *,
        suspects: dict[str, str] | None = None,
        figures: dict[str, Any] | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.suspects = suspects or {}
        self.figures = figures or {}


class ProofError(TrainingError):
    """A proof cannot be made of the logs that were given, or a proof that was made cannot be read."""


class AuditError(DayoneError):
    """Something signed, summed or chained is not what it was: a file, a row, a lineage, an audit log."""

    exit_code = 10


class TutorError(DayoneError):
    """The language model cannot be asked, or what it answered cannot be used. `kind` is a word that metrics count.

    `scope` says what it ends: `question` (a smaller one may be answered), `session` (this one, others may go on) or
    `tutor` (asking anything else is of no use)."""

    exit_code = 11

    def __init__(
        self,
        message: str,
        *,
        kind: str = "other",
        scope: Literal["question", "session", "tutor"] = "session",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.scope = scope


class BudgetError(TutorError):
    """The next call could cost more than what is left of the ceiling; it was not made."""

    exit_code = 12

    def __init__(self, message: str, *, kind: str = "budget", hint: str = "") -> None:
        super().__init__(message, kind=kind, scope="tutor", hint=hint)

class TwinError(DayoneError):
    """A twin model cannot be fitted, is damaged, or does not fit the pack that it is to be played in."""

    exit_code = 13


class StudentError(DayoneError):
    """Traces or a student cannot be read, are damaged, or belong to another pack than the one to be played."""

    exit_code = 14
