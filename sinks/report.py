"""What a sink has done so far and, when it is over, why: plain numbers, for the last line and the progress shown."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Report:
    """What a sink did until it ended, and why: `completed`, `SIGINT`, `SIGTERM` or what `request_stop` was given."""

    ended: str = ""
    drained: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    messages: int = 0
    batches: int = 0
    refused: int = 0  # batches that the store would not have: others had taken the partitions over
    first_message: float = 0.0
    last_commit: float = 0.0

    @property
    def seconds(self) -> float:
        """From the first message to the last commit."""
        return max(0.0, self.last_commit - self.first_message)

    @property
    def events_per_second(self) -> float:
        """Rows of `events` over `seconds`; 0 where there were none."""
        return self.rows.get("events", 0) / self.seconds if self.seconds else 0.0
