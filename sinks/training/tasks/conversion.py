"""conversion: whether a session that has begun will reach what the product lives on, or what the user came for.

One row per session, after its first k events. A session that has converted by then is left out: nothing is open any
more. For offers in time, for budgets of ads, for "who is worth a call".

Two ways were weighed to choose k: the same for all (chosen: a model is asked at one moment, and rows compare), or a
random place per session (more variety, but then the length of what is known tells how long the session will be).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sinks.training.task import KEYS, TRAIL, Column, Options
from sinks.training.walks import KNOWN, KNOWN_COLUMNS, TIME, WALKS


class ConversionOptions(Options):
    """See Conversion."""

    events: int = Field(5, ge=1, le=100, description="after how many events of the session the row is made")


class Conversion:
    """Implements Task."""

    name: ClassVar[str] = "conversion"
    summary: ClassVar[str] = "Whether a session converts, from its first events"
    grain: ClassVar[str] = "one row per session that has so many events and no conversion yet: will there be one"
    kind: ClassVar[Literal["classification"]] = "classification"
    options: ClassVar[type[Options]] = ConversionOptions

    def columns(self, options: Options) -> tuple[Column, ...]:
        """See Task."""
        return (
            *KEYS,
            Column("session_id", "key", "VARCHAR", "The session"),
            Column("time", "time", "TIMESTAMPTZ", "When the last known event happened (UTC)"),
            Column("first_types", "feature", "VARCHAR[]", "Types of the first events, oldest first"),
            Column("first_items", "feature", "VARCHAR[]", "Their items; null where an event is about none"),
            *KNOWN_COLUMNS,
            Column("earlier_conversions", "feature", "INTEGER", "Conversions in the user's earlier sessions"),
            Column("days_since_last", "feature", "DOUBLE", "Days since the user's last session began; null: the first"),
            Column("converted", "label", "BOOLEAN", "Whether the conversion came; null: the product has none"),
            Column("seconds_to_conversion", "label", "DOUBLE", "Seconds until it; null where it did not come"),
            Column("goal_reached", "label", "BOOLEAN",
                   "Whether what the user came for happened after these events; null: came for nothing, or unknown"),
            *TRAIL,
        )  # fmt: skip

    def query(self, options: Options) -> str:
        """See Task."""
        assert isinstance(options, ConversionOptions)
        earlier = "(PARTITION BY run_id, user_id ORDER BY number, session_id"
        return f"""
            WITH {WALKS},
            goals AS (
                SELECT run_id, session_id, goal FROM chosen_labels JOIN chosen_intents USING (intent)
                WHERE kind = 'session'),
            pasts AS (
                SELECT *, {options.events} AS position, list_position(conversions, 1) AS first_conversion,
                       coalesce(sum(list_sum(conversions)) OVER
                           {earlier} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS earlier_conversions,
                       (moments[1] - lag(moments[1]) OVER {earlier})) / 86400000.0 AS days_since_last
                FROM walks)
            SELECT run_id, user_id, session_id, {TIME}, types[1:position] AS first_types,
                   items[1:position] AS first_items, {KNOWN}, earlier_conversions::INTEGER AS earlier_conversions,
                   days_since_last,
                   CASE WHEN EXISTS (SELECT 1 FROM chosen_event_types WHERE conversion)
                        THEN first_conversion IS NOT NULL END AS converted,
                   (moments[first_conversion] - moments[position]) / 1000.0 AS seconds_to_conversion,
                   CASE WHEN goal IS NOT NULL THEN list_contains(types[position + 1:], goal) END AS goal_reached,
                   weight, origin, generator, generation
            FROM pasts LEFT JOIN goals USING (run_id, session_id)
            WHERE len(types) >= position AND (first_conversion IS NULL OR first_conversion > position)
            ORDER BY run_id, user_id, number, session_id"""  # noqa: S608 - numbers of ours
