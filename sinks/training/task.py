"""The words of training sets: what a task is, what a column is for, and which relations a task's SQL may read.

A task turns what users did into rows for one kind of model. Two ways were weighed: tasks as Python over Arrow batches
(any logic, but a row at a time, and each task finds its own way to read the future), or tasks as one SQL query over a
few named relations. SQL won: DuckDB does the work on all cores, and what a query can read is written in its text, so
a gate can read it as well. A task is therefore plain data: names, columns, options, a query. It knows no store, no
split, no file.

The relations that a query may read (made by selection.py, restricted to the users of one split and shard):

    chosen_events    run_id, user_id, session_id, sequence, time, type, item_id, properties
    chosen_sessions  run_id, user_id, session_id, number, started, ended, device, converted, value,
                     origin, generator, generation, weight
    chosen_users     run_id, user_id, first_seen, until, origin, generator, generation, weight
    chosen_labels    the ground truth of these users (see `labels`): for labels, never for features
    chosen_items     item_id, title, category, price, quality, launch_day, text
    chosen_conversations  run_id, user_id, session_id, conversation_id, time, ended, reason, language, outcome,
                     parameters, turns, audit, passed, rejected, origin, generator, generation, weight
    chosen_help_texts     help_id, title, about, text, hands_over

and what the product is, as its pack declares it, so that no task knows a product's names:

    chosen_event_types       type, item, slate, conversion
    chosen_event_properties  type, property, kind, source
    chosen_funnel_steps      step, type
    chosen_slate_positions   slate, position, examination
    chosen_intents           intent, goal

`until` is the time from which nothing may be used (the end of the split, or of the data), `weight` what the row counts
for: the importance weight of over-sampled problems times the weight that mixing gave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

Role = Literal["key", "time", "feature", "propensity", "label", "weight", "origin"]
RELATIONS = (
    "chosen_events", "chosen_sessions", "chosen_users", "chosen_labels", "chosen_items", "chosen_conversations",
    "chosen_help_texts", "chosen_event_types", "chosen_event_properties", "chosen_funnel_steps",
    "chosen_slate_positions", "chosen_intents",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of a training set: its name, what it is for, its SQL type, and a sentence about it (with the unit).

    `key` columns name the row and are no features; `time` is the moment at which the row is known: features are
    functions of events at or before it, labels of what comes after (or of the ground truth). `propensity` is how
    probable it was that there is such a row: for weighing and judging, not for a model to learn from."""

    name: str
    role: Role
    type: str
    description: str


#: What every training set begins and ends with, so that each row can be traced to its run and weighed.
KEYS = (
    Column("run_id", "key", "VARCHAR", "The run that made the row; `core` for real data"),
    Column("user_id", "key", "VARCHAR", "The user"),
)
TRAIL = (
    Column("weight", "weight", "DOUBLE", "What the row counts for when a model is trained"),
    Column("origin", "origin", "VARCHAR", "core (real) or synthetic"),
    Column("generator", "origin", "VARCHAR", "What made it: prior, student, tutor, twin; people for real data"),
    Column("generation", "origin", "INTEGER", "0 is real; n+1 was made by a model fitted on generation n or less"),
)


class Options(BaseModel):
    """What a user may set of a task; each task has its own fields, with bounds and a sentence each."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Task(Protocol):
    """One kind of training set. Implementations are found by registry.py; tests/contracts/task.py holds them to this.

    `grain` says what one row is. `query` is a SELECT whose columns are exactly `columns(options)`, in that order, the
    rows in an order that is the same every time, without bound parameters: options are numbers and choices that have
    been validated, and whatever text a task compares is written in its own source."""

    name: ClassVar[str]
    summary: ClassVar[str]
    grain: ClassVar[str]
    kind: ClassVar[Literal["classification", "regression", "ranking", "conversation", "sequence"]]
    options: ClassVar[type[Options]]

    def columns(self, options: Options) -> tuple[Column, ...]:
        """The columns of the training set, in order."""
        ...

    def query(self, options: Options) -> str:
        """The SELECT that makes the rows."""
        ...


def names(columns: tuple[Column, ...], role: Role) -> tuple[str, ...]:
    """The names of the columns that have a role, in order."""
    return tuple(column.name for column in columns if column.role == role)
