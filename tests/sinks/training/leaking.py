"""Tasks that know the future, to show that the contract finds out."""

from __future__ import annotations

from typing import Literal

from sinks.training.task import Column, Options, Task, names


class Leaking:
    """A task with one of its features replaced by what nobody knows at the time: its own label, or what the user does
    later."""

    def __init__(self, task: Task, leak: Literal["label", "event"]) -> None:
        self.task = task
        self.name, self.summary, self.grain = f"{task.name}, leaking a {leak}", task.summary, task.grain
        self.kind, self.options = task.kind, task.options
        self.leak = leak

    def columns(self, options: Options) -> tuple[Column, ...]:
        return self.task.columns(options)

    def query(self, options: Options) -> str:
        columns = self.columns(options)
        feature = names(columns, "feature")[0]
        if self.leak == "label":
            value = " || ".join(f"coalesce(CAST(row.{name} AS VARCHAR), '')" for name in names(columns, "label"))
        else:
            value = (
                "(SELECT sum(epoch_ms(time)) FROM chosen_events AS event "
                "WHERE event.run_id = row.run_id AND event.user_id = row.user_id)"
            )
        return f"SELECT row.* REPLACE ({value} AS {feature}) FROM ({self.task.query(options)}) AS row"
