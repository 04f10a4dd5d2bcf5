"""next_event: what a user does next, and when, given what the user has done so far in the session.

One row per event that has happened: the last events up to it, and the one that came after it, or `end` where the
session was over. For next-action models, prefetching, and "where do people drop off".

Two shapes were weighed: a row per session with whole sequences (small; every user then writes the windowing, and the
leak that comes with a wrong index), or a row per step with the history spelled out. The second is what a model reads;
Parquet's dictionaries make it small again.

The events of a session are gathered as they come and sorted once as a list: a third of the time that DuckDB takes for
`list(type ORDER BY sequence)` and the same for each other column.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sinks.training.task import KEYS, TRAIL, Column, Options


class NextEventOptions(Options):
    """See NextEvent."""

    history: int = Field(10, ge=1, le=100, description="how many of the last events a row holds")


class NextEvent:
    """Implements Task."""

    name: ClassVar[str] = "next_event"
    summary: ClassVar[str] = "What a user does next in a session, and after how many seconds"
    grain: ClassVar[str] = "one row per event: the history up to it, and what came after it"
    kind: ClassVar[Literal["sequence"]] = "sequence"
    options: ClassVar[type[Options]] = NextEventOptions

    def columns(self, options: Options) -> tuple[Column, ...]:
        """See Task."""
        return (
            *KEYS,
            Column("session_id", "key", "VARCHAR", "The session"),
            Column("position", "key", "INTEGER", "How many events of the session are known, from 1"),
            Column("time", "time", "TIMESTAMPTZ", "When the last known event happened (UTC)"),
            Column("history_types", "feature", "VARCHAR[]", "Types of the last events, oldest first"),
            Column("history_items", "feature", "VARCHAR[]", "Their items; null where an event is about none"),
            Column("events_before", "feature", "INTEGER", "Known events of this session, as many as `position`"),
            Column("session_number", "feature", "INTEGER", "How many sessions the user had before"),
            Column("seconds_in_session", "feature", "DOUBLE", "Seconds since the session began"),
            Column("last_gap_seconds", "feature", "DOUBLE", "Seconds between the last two events; null for the first"),
            Column("hour", "feature", "INTEGER", "Hour of the day of the last event, 0 to 23 (UTC)"),
            Column("weekday", "feature", "INTEGER", "Day of the week of the last event, 1 is Monday (UTC)"),
            Column("device", "feature", "VARCHAR", "Device of the session"),
            Column("next_type", "label", "VARCHAR", "Type of the next event of the session, or `end`"),
            Column("next_item", "label", "VARCHAR", "Its item, where it is about one"),
            Column("next_gap_seconds", "label", "DOUBLE", "Seconds until it; null at the end"),
            *TRAIL,
        )

    def query(self, options: Options) -> str:
        """See Task."""
        assert isinstance(options, NextEventOptions)
        first = f"greatest(1, position - {options.history - 1})"
        return f"""
            WITH gathered AS (
                SELECT run_id, user_id, session_id, list_sort(list(
                       {{'sequence': sequence, 'type': type, 'item': item_id, 'moment': epoch_ms(time)}})) AS walk
                FROM chosen_events GROUP BY ALL),
            walks AS (
                SELECT run_id, user_id, session_id, [step.type FOR step IN walk] AS types,
                       [step.item FOR step IN walk] AS items, [step.moment FOR step IN walk] AS moments
                FROM gathered),
            ordered AS (
                SELECT * FROM walks JOIN chosen_sessions USING (run_id, user_id, session_id)
                ORDER BY run_id, user_id, number, session_id),
            steps AS (SELECT *, unnest(range(1, len(types) + 1)) AS position FROM ordered)
            SELECT run_id, user_id, session_id, position::INTEGER AS position,
                   make_timestamptz(moments[position] * 1000) AS time,
                   types[{first}:position] AS history_types, items[{first}:position] AS history_items,
                   position::INTEGER AS events_before, number AS session_number,
                   (moments[position] - moments[1]) / 1000.0 AS seconds_in_session,
                   CASE WHEN position > 1 THEN (moments[position] - moments[position - 1]) / 1000.0 END
                       AS last_gap_seconds,
                   (moments[position] // 3600000 % 24)::INTEGER AS hour,
                   ((moments[position] // 86400000 + 3) % 7 + 1)::INTEGER AS weekday,
                   device, coalesce(types[position + 1], 'end') AS next_type, items[position + 1] AS next_item,
                   (moments[position + 1] - moments[position]) / 1000.0 AS next_gap_seconds,
                   weight, origin, generator, generation
            FROM steps"""  # noqa: S608 - numbers of ours
