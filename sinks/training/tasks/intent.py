"""intent: what a user came for, given the first events of the session.

The intent is the truth of the simulation, on the labels topic and in no event; real users do not tell theirs. For a
home page that adapts, for assistants, and to measure how early an intent shows.

Two shapes were weighed: one row per session with all its events (the model is then asked what it never has on the day:
a session that is over), or rows for beginnings. Beginnings of 1, 2, 4, 8, … events won: early and late both count, and
a long session does not weigh more than its share.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sinks.training.task import KEYS, TRAIL, Column, Options
from sinks.training.walks import KNOWN, KNOWN_COLUMNS, TIME, WALKS

_POSITIONS = {
    "doubling": "list_transform(range(0, 1 + floor(log2(len(types)))::BIGINT), lambda power: (2 ** power)::BIGINT)",
    "every": "range(1, len(types) + 1)",
    "whole": "[len(types)]",
}


class IntentOptions(Options):
    """See Intent."""

    beginnings: Literal["doubling", "every", "whole"] = Field(
        "doubling", description="after how many events there is a row: doubling (1, 2, 4, 8, …), every, or whole"
    )
    history: int = Field(50, ge=1, le=1000, description="how many of the last events a row holds")


class Intent:
    """Implements Task."""

    name: ClassVar[str] = "intent"
    summary: ClassVar[str] = "What a user came for, from the first events of the session"
    grain: ClassVar[str] = "one row per beginning of a session: its events so far, and the intent behind it"
    kind: ClassVar[Literal["classification"]] = "classification"
    options: ClassVar[type[Options]] = IntentOptions

    def columns(self, options: Options) -> tuple[Column, ...]:
        """See Task."""
        return (
            *KEYS,
            Column("session_id", "key", "VARCHAR", "The session"),
            Column("position", "key", "INTEGER", "How many events of the session are known, from 1"),
            Column("time", "time", "TIMESTAMPTZ", "When the last known event happened (UTC)"),
            Column("history_types", "feature", "VARCHAR[]", "Types of the last events, oldest first"),
            Column("history_items", "feature", "VARCHAR[]", "Their items; null where an event is about none"),
            *KNOWN_COLUMNS,
            Column("intent", "label", "VARCHAR", "What the user came for: the truth of the simulation"),
            Column("goal", "label", "VARCHAR", "The event type that fulfils it; null: just looking around"),
            *TRAIL,
        )

    def query(self, options: Options) -> str:
        """See Task."""
        assert isinstance(options, IntentOptions)
        first = f"greatest(1, position - {options.history - 1})"
        return f"""
            WITH {WALKS},
            truth AS (
                SELECT run_id, session_id, intent FROM chosen_labels WHERE kind = 'session' AND intent IS NOT NULL),
            beginnings AS (
                SELECT walks.*, intent, unnest({_POSITIONS[options.beginnings]}) AS position
                FROM walks JOIN truth USING (run_id, session_id))
            SELECT run_id, user_id, session_id, position::INTEGER AS position, {TIME},
                   types[{first}:position] AS history_types, items[{first}:position] AS history_items, {KNOWN},
                   intent, goal, weight, origin, generator, generation
            FROM beginnings LEFT JOIN chosen_intents USING (intent)
            ORDER BY run_id, user_id, number, session_id, position"""  # noqa: S608 - numbers and choices of ours
