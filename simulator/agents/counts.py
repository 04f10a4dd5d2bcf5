"""What has been asked of a language model so far, counted as it happens. Plain numbers: telemetry and summaries read
them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulator.agents.language import Usage


@dataclass
class TutorCounts:
    """Counters of one process. `calls` is by kind of outcome: `answered`, or the kind of a TutorError, also for tries
    that were repeated. `maybe_billed_twice` counts repeated tries of which the first may have been billed."""

    calls: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    dollars: float = 0.0
    maybe_billed_twice: int = 0
    replayed: int = 0
    recorded: int = 0
    concurrency: int = 0

    def add_usage(self, usage: Usage, dollars: float) -> None:
        """Take in what one call used and cost."""
        self.dollars += dollars
        for name, number in usage.model_dump().items():
            self.tokens[name.removesuffix("_tokens")] += number

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """One call more while the block runs."""
        self.concurrency += 1
        try:
            yield
        finally:
            self.concurrency -= 1

    @property
    def cache_read_share(self) -> float:
        """Of all prompt tokens, the share that the provider had cached."""
        prompt = self.tokens["input"] + self.tokens["cache_read"] + self.tokens["cache_write"]
        return self.tokens["cache_read"] / prompt if prompt else 0.0
